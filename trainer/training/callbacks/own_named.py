"""Callbacks of Keras or of the user's own, which the configuration names."""

import sys
from contextlib import redirect_stdout
from typing import Any

import keras

from trainer.config.sections import TrainSection
from trainer.errors import ConfigError
from trainer.models.networks.own_code import explained, find

_FUNCTION = "function"
"""The key of an argument that is a function, named `package.module:function`."""


def own_callbacks(train: TrainSection) -> list[keras.callbacks.Callback]:
    """The callbacks of `train.callbacks`, newly made. Each rank has its own.

    Raises ConfigError for one that cannot be imported or made, or that is not a Keras callback.
    """
    callbacks = []
    for number, section in enumerate(train.callbacks):
        key = f"train.callbacks[{number}]"
        kind, options = find(section.name, key), section.options.items()
        with (
            explained(section.name, f"{key}: {section.name} raises", "Correct it"),
            redirect_stdout(sys.stderr),
        ):
            callback = kind(**{name: _argument(value, f"{key}.options.{name}") for name, value in options})
        if not isinstance(callback, keras.callbacks.Callback):
            raise ConfigError(
                f"{key}: expected {section.name} to be a class of Keras callbacks, received "
                f"{type(callback).__name__}",
                "Derive it from keras.callbacks.Callback",
            )
        callbacks.append(callback)
    return callbacks


def _argument(value: Any, key: str) -> Any:
    """An argument as the configuration has it; a function by its name. Raises ConfigError."""
    named = isinstance(value, dict) and value.keys() == {_FUNCTION}
    return find(str(value[_FUNCTION]), key) if named else value
