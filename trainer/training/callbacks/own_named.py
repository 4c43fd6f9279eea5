"""Callbacks of the user's own, which the configuration names."""

import sys
from contextlib import redirect_stdout

import keras

from trainer.config.sections import TrainSection
from trainer.errors import ConfigError
from trainer.models.networks.own_code import explained, find


def own_callbacks(train: TrainSection) -> list[keras.callbacks.Callback]:
    """The callbacks of `train.callbacks`, newly made. Each rank has its own.

    Raises ConfigError for one that cannot be imported or made, or that is not a Keras callback.
    """
    callbacks = []
    for number, section in enumerate(train.callbacks):
        key = f"train.callbacks[{number}]"
        kind = find(section.name, key)
        with (
            explained(section.name, f"{key}: {section.name} raises", "Correct it"),
            redirect_stdout(sys.stderr),
        ):
            callback = kind(**section.options)
        if not isinstance(callback, keras.callbacks.Callback):
            raise ConfigError(
                f"{key}: expected {section.name} to be a class of Keras callbacks, received "
                f"{type(callback).__name__}",
                "Derive it from keras.callbacks.Callback",
            )
        callbacks.append(callback)
    return callbacks
