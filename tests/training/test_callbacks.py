"""Keras's callbacks do in our loop what they do in Keras's."""

import json
import math

import keras
import pytest

from tests.run_processes import Runs
from trainer.config import parse
from trainer.training.callbacks import from_config, settle_modes


def test_a_run_slows_down_and_stops_early_when_its_validation_no_longer_rises(runs: Runs):
    config = runs.config(
        "early",
        train={
            "epochs": 9,
            "batch_size": 60,
            "optimizer": {"name": "sgd", "learning_rate": 1e-12},
            "early_stopping": {"patience": 2},
            "reduce_lr_on_plateau": {"monitor": "val_accuracy", "patience": 0, "factor": 0.5},
        },
    )
    folder = runs.finish(config)
    end = json.loads((folder / "run/finished.json").read_text())
    assert (end["stopped_early"], end["epochs"]) == (True, 3)
    assert math.isclose(end["metrics"]["learning_rate"], 0.5e-12, rel_tol=1e-6), "halved after epoch 2"


@pytest.mark.parametrize(
    ("monitor", "mode"), [("val_accuracy", "max"), ("val_loss", "min"), ("top5_accuracy", "max")]
)
def test_what_auto_means_for_every_figure(monitor: str, mode: str):
    values = {
        "data": {"url": "s3://b/d"},
        "model": {"name": "lab-cnn"},
        "run": {"url": "s3://b/r"},
        "train": {"early_stopping": {"monitor": monitor}, "reduce_lr_on_plateau": {"monitor": monitor}},
    }
    own = keras.callbacks.EarlyStopping(monitor=monitor, mode="min")
    callbacks = [*from_config(parse(values).train), own]
    settle_modes(callbacks)
    assert [callback.mode for callback in callbacks] == [mode, mode, "min"]
