"""A run's published weights."""

from trainer.errors import DataError
from trainer.runs import layout
from trainer.runs.run_document import read_document
from trainer.storage import Store


def read_weights(store: Store, name: layout.WeightsName) -> bytes:
    """The run's best or last weights, a Keras weights file.

    Raises DataError if there is no run, or it has not published them yet.
    """
    try:
        return store.get(layout.weights(name))
    except FileNotFoundError:
        raise _not_published(store, name) from None


def _not_published(store: Store, name: layout.WeightsName) -> DataError:
    read_document(store)  # raises if there is no run
    when = "the end of its first epoch" if name == "best" else "its end"
    return DataError(f"{store.url} has no {name} weights yet", f"A run publishes them at {when}")
