"""Callbacks of the configuration decide what Keras's own decide in `fit`, whatever their arguments."""

import inspect
from typing import Any

import keras
import numpy as np
import pytest

from trainer.config.sections import TrainSection
from trainer.training.callbacks.trainer_callbacks import from_config, settle_modes

SECTIONS = {
    "early_stopping": keras.callbacks.EarlyStopping,
    "reduce_lr_on_plateau": keras.callbacks.ReduceLROnPlateau,
}
LOSSES = [1.0, 0.8, 0.79, 0.9, 0.85, 0.83, 0.82, 0.7, 0.71, 0.72, 0.73, 0.74, 0.75, 0.76]
VALUES: dict[str, Any] = {
    "monitor": "loss",
    "patience": 3,
    "min_delta": 0.05,
    "mode": "max",
    "baseline": 0.6,
    "restore_best_weights": True,
    "start_from_epoch": 4,
    "factor": 0.5,
    "min_lr": 0.05,
    "cooldown": 2,
}
"""Argument -> a value that is not the default."""
CASES = [
    (section, argument)
    for section, kind in SECTIONS.items()
    for argument in inspect.signature(kind).parameters
    if argument not in ("verbose", "kwargs")
]


def decisions(callback: keras.callbacks.Callback) -> list[tuple[bool, float, float]]:
    """After each epoch: whether it stops, the learning rate, and in the end the weight that it leaves."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.stop_training = False
    callbacks = keras.callbacks.CallbackList([callback], model=model)
    callbacks.on_train_begin()
    found = []
    for epoch, loss in enumerate(LOSSES):
        model.set_weights([np.full((1, 1), epoch, np.float32)])
        callbacks.on_epoch_end(epoch, {"loss": loss + 1, "val_loss": loss})
        found.append((model.stop_training, float(model.optimizer.learning_rate), 0.0))
        if model.stop_training:
            break
    callbacks.on_train_end()
    return [*found, (False, 0.0, float(model.get_weights()[0][0, 0]))]


@pytest.mark.parametrize(("section", "argument"), CASES)
def test_each_argument_decides_as_keras_s(section: str, argument: str) -> None:
    given = {"monitor": "val_loss", "patience": 2} | {argument: VALUES[argument]}
    [ours] = from_config(TrainSection(**{section: given}))
    settle_modes([ours])
    found = decisions(ours)
    assert found == decisions(SECTIONS[section](**given))
    if argument != "monitor":
        assert found != decisions(SECTIONS[section](monitor="val_loss", patience=2)), (
            "the value does something"
        )


@pytest.mark.parametrize("section", SECTIONS)
def test_without_a_validation_split_they_monitor_the_training(section: str) -> None:
    [callback] = from_config(TrainSection(**{section: {}}), validated=False)
    assert callback.monitor == {"early_stopping": "accuracy", "reduce_lr_on_plateau": "loss"}[section]
