"""What a configuration may say about an optimizer is what Keras takes."""

import inspect

import keras
import pytest

from trainer.optimizers import ARGUMENTS

CLASSES = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "adagrad": "Adagrad"}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_arguments_are_keras_s_own(name: str):
    parameters = inspect.signature(getattr(keras.optimizers, CLASSES.get(name, name.capitalize()))).parameters
    assert {*ARGUMENTS[name], "learning_rate"} == set(parameters) - {"name", "kwargs"}
