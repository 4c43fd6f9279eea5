"""What a finished run published: where it is, and whether it is unchanged."""

from hashlib import sha256

from trainer.runs import layout
from trainer.runs.run_document import read_finished
from trainer.storage import Store

_RESULTS = {
    "report": layout.REPORT,
    "evaluation": layout.EVALUATION,
    "card": layout.CARD,
    "model": layout.KERAS_MODEL,
    "weights": layout.weights("best"),
    "last weights": layout.weights("last"),
}
"""What people look for, and its key or the prefix of its keys."""


def results(store: Store) -> list[tuple[str, str]]:
    """The name and the URL of each result of a run that is there."""
    found = [(name, info.key) for name, key in _RESULTS.items() for info in store.list(key)]
    return [(name, f"{store.url}/{key}") for name, key in found]


def not_as_published(store: Store) -> str | None:
    """The key of the first object of a finished run that is missing or was changed; None if all are intact.

    Reads the weights. Raises RunError if finished.json cannot be read.
    """
    finished = read_finished(store)
    if finished is None:
        return None
    if not any(info.key == layout.RUN for info in store.list(layout.RUN)):
        return layout.RUN
    return next((key for key, digest in finished.sha256.items() if _digest(store, key) != digest), None)


def _digest(store: Store, key: str) -> str | None:
    try:
        return sha256(store.get(key)).hexdigest()
    except FileNotFoundError:
        return None
