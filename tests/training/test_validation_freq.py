"""Validation after every third epoch, as Keras's validation_freq: only those epochs can be the best."""

import csv
import io
import threading
from typing import Any

import keras
import pytest

from tests.run_processes import Runs
from tests.training.in_process import store_of, train
from trainer.errors import TransientError
from trainer.runs.find_runs import find_runs

THIRD: dict[str, Any] = {"epochs": 8, "validation_freq": 3, "batch_size": 600, "lanes": 6}


def test_every_third_epoch_is_validated_and_one_of_them_is_the_best(runs: Runs) -> None:
    config = runs.config("third", train=THIRD)
    finished = train(config)
    rows = list(csv.DictReader(io.StringIO(store_of(config).get("metrics.csv").decode())))
    assert [row["val_accuracy"] != "NA" for row in rows] == [number % 3 == 0 for number in range(1, 9)]
    assert finished.best is not None
    assert finished.best.epoch == max(3, 6, key=lambda number: float(rows[number - 1]["val_accuracy"]))
    assert "val_accuracy" not in finished.last.metrics


def test_before_the_first_validation_no_epoch_is_the_best(runs: Runs) -> None:
    config = runs.config("early", train=THIRD)
    stop = threading.Event()

    def second(epoch: int, logs: Any) -> None:
        if epoch == 1:
            stop.set()

    with pytest.raises(TransientError):
        train(config, keras.callbacks.LambdaCallback(on_epoch_end=second), stop=stop)
    (listed,) = find_runs(store_of(config))
    assert (listed.best, listed.epochs) == (None, 2)
    assert listed.step > 2
