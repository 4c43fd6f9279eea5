"""What people download from a run's folder."""

from collections.abc import Callable, Mapping, Sequence

import keras

from trainer.models.export import keras_file
from trainer.models.weights_file import weights_file
from trainer.runs import layout
from trainer.runs.document import Finished, versions
from trainer.runs.fence import Fence, publish
from trainer.runs.history import write_history
from trainer.storage import Store
from trainer.training.finite import check_weights
from trainer.training.plan import Plan
from trainer.training.results.card import card


class Publisher:
    """Puts a run's files into its folder: on the chief, which has the fence; on other ranks it does nothing.

    Every method raises Superseded when a higher token exists, and the store's errors.
    """

    def __init__(self, store: Store, fence: Fence | None, plan: Plan, model: keras.Model) -> None:
        self._store, self._fence, self._plan, self._model = store, fence, plan, model

    def weights(self, which: layout.Which) -> None:
        """The model's present weights. Raises Diverged where they are not finite."""
        if self._fence:
            check_weights(self._model)
        self._publish(layout.weights(which), lambda: weights_file(self._model))

    def history(self, history: Sequence[Mapping[str, float]]) -> None:
        """The metrics of all epochs so far."""
        self._publish(layout.METRICS, lambda: write_history(history))

    def card(self, finished: Finished) -> None:
        """The model card."""
        self._publish(layout.CARD, lambda: card(self._plan, finished, versions()))

    def best_weights(self) -> bytes:
        """The best weights as they were published; empty on the ranks that are not the chief."""
        return self._store.get(layout.weights("best")) if self._fence else b""

    def keras_model(self) -> None:
        """The model with its present weights, of Keras's layers alone."""
        self._publish(layout.KERAS_MODEL, lambda: keras_file(self._model))

    def finished(self, finished: Finished) -> None:
        """How the run ended. Publish it last: from then on the run is finished."""
        self._publish(layout.FINISHED, finished.dumps)

    def _publish(self, key: str, content: Callable[[], bytes]) -> None:
        if self._fence:
            publish(self._store, self._fence, key, content())
