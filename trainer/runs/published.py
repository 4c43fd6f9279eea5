"""Whether the objects that a finished run published are unchanged."""

from hashlib import sha256

from trainer.runs import layout
from trainer.runs.run_document import read_finished
from trainer.storage import Store


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
