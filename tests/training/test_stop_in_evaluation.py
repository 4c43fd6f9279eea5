"""A stop that comes while the ranks evaluate is heard between two batches, and loses no finished step."""

import threading
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import keras
import pytest

from tests.run_processes import Runs, committed_steps
from trainer.config import load
from trainer.distribution.single import Single
from trainer.errors import Interrupted
from trainer.observability.metrics import RunMetrics
from trainer.runs.document import Finished
from trainer.storage import open_store
from trainer.training.plan import make_plan
from trainer.training.run import train
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


def run(config: Path, stop: threading.Event, *callbacks: keras.callbacks.Callback) -> Finished:
    values = load(config)
    return train(make_plan(values, 1), open_store(values.run.url), Single(), stop, RunMetrics(0), callbacks)


def test_validation_stops_after_a_batch_and_is_done_again(runs: Runs, monkeypatch: pytest.MonkeyPatch):
    few = {"epochs": 2, "batch_size": 60, "lanes": 60, "micro_batch": 10, "deterministic": True}
    undisturbed = runs.config("undisturbed", train=few)
    run(undisturbed, threading.Event())

    config = runs.config("stopped", train=few)
    evaluate = Mock(side_effect=EvaluationStep.__call__)
    monkeypatch.setattr(EvaluationStep, "__call__", lambda step, *batch: evaluate(step, *batch))
    stop = threading.Event()
    with pytest.raises(Interrupted, match="stopped on request after step 20, which is saved"):
        run(config, stop, StopIn(1, stop))
    assert evaluate.call_count == 1
    assert committed_steps(open_store(f"{config.parent}/run"))[0] == 20

    run(config, threading.Event())
    for name in ("metrics.csv", "weights/last.weights.h5"):
        assert (config.parent / "run" / name).read_bytes() == (undisturbed.parent / "run" / name).read_bytes()
