"""A run's published weights."""

from trainer.errors import DataError
from trainer.runs import layout
from trainer.runs.run_document import read_document
from trainer.storage import Store


def read_weights(store: Store, which: layout.Which) -> bytes:
    """The run's best or last weights, a Keras weights file.

    Raises DataError where there is no run, or it has published none.
    """
    try:
        return store.get(layout.weights(which))
    except FileNotFoundError:
        raise _none_yet(store, which) from None


def _none_yet(store: Store, which: layout.Which) -> DataError:
    read_document(store)  # raises where there is no run
    when = "the end of its first epoch" if which == "best" else "its end"
    return DataError(f"{store.url} has no {which} weights yet", f"A run publishes them at {when}")
