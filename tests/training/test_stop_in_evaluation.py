"""A stop that comes while the ranks evaluate is heard between two batches, and loses no finished step."""

import threading
from typing import Any
from unittest.mock import Mock

import keras
import pytest

from tests.run_processes import Runs, committed_steps
from tests.training.in_process import store_of, train
from trainer.errors import TransientError
from trainer.training.step import EvaluationStep


class StopIn(keras.callbacks.Callback):
    """Asks for a stop as the validation after epoch `epoch` begins."""

    def __init__(self, epoch: int, stop: threading.Event) -> None:
        super().__init__()
        self.remaining, self.stop = epoch, stop

    def on_test_begin(self, logs: Any = None) -> None:
        self.remaining -= 1
        if not self.remaining:
            self.stop.set()


def test_validation_stops_after_a_batch_and_is_done_again(runs: Runs, monkeypatch: pytest.MonkeyPatch):
    few = {"epochs": 2, "batch_size": 60, "lanes": 60, "micro_batch": 10, "deterministic": True}
    undisturbed = runs.config("undisturbed", train=few)
    train(undisturbed)

    config = runs.config("stopped", train=few)
    evaluate = Mock(side_effect=EvaluationStep.__call__)
    monkeypatch.setattr(EvaluationStep, "__call__", lambda step, *batch: evaluate(step, *batch))
    stop = threading.Event()
    with pytest.raises(TransientError, match="stopped on request; step 20 is saved"):
        train(config, StopIn(1, stop), stop=stop)
    assert evaluate.call_count == 1
    assert committed_steps(store_of(config))[0] == 20

    train(config)
    for name in ("metrics.csv", "weights/last.weights.h5"):
        assert (config.parent / "run" / name).read_bytes() == (undisturbed.parent / "run" / name).read_bytes()
