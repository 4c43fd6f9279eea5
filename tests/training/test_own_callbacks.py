"""Callbacks of the user's own by name: what is wrong with one is one line that names it."""

import math
from typing import Any

import keras
import pytest

from trainer.config import RunConfig, parse
from trainer.errors import ConfigError
from trainer.training.callbacks import callback_state
from trainer.training.callbacks.own_named import own_callbacks


def config(callbacks: Any) -> RunConfig:
    values = {"data": {"url": "file:///d"}, "model": {"name": "lab-cnn"}, "run": {"url": "file:///r"}}
    return parse(values | {"train": {"callbacks": callbacks}})


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (
            "no_such_module:Callback",
            r"train\.callbacks\[0\]: no_such_module cannot be imported: ModuleNotFound",
        ),
        ("keras.callbacks:NoSuch", "keras.callbacks has no function 'NoSuch'"),
        ("builtins:dict", "expected builtins:dict to be a class of Keras callbacks, received dict"),
        (
            {"name": "keras.callbacks:EarlyStopping", "options": {"patienc": 3}},
            "keras.callbacks:EarlyStopping raises TypeError: .*patienc",
        ),
        ({"name": "keras.callbacks:CSVLogger", "options": {"filename": "x"}}, "CSVLogger is not supported"),
    ],
)
def test_what_is_refused_as_a_run_starts(callback: Any, message: str):
    with pytest.raises(ConfigError, match=message):
        callback_state.check(own_callbacks(config([callback]).train))


@pytest.mark.parametrize(
    "callbacks", ["a:B", ["no-name"], [{"title": "a:B"}], [{"name": "a:B", "options": [1]}], [7]]
)
def test_what_the_configuration_refuses(callbacks: Any):
    with pytest.raises(ConfigError, match=r"train\.callbacks"):
        config(callbacks)


def test_each_has_its_options_and_is_new_every_time():
    train = config(
        ["keras.callbacks:History", {"name": "tests.matrix.own:Losses", "options": {"limit": 0.5}}]
    ).train
    history, losses = own_callbacks(train)
    assert type(history).__name__ == "History"
    assert losses.limit == 0.5
    assert own_callbacks(train)[1] is not losses


def test_arguments_may_be_lists_mappings_and_functions():
    """As those of Keras's own callbacks are."""
    train = config(
        [
            {
                "name": "keras.callbacks:LearningRateScheduler",
                "options": {"schedule": {"function": "math:fmod"}, "verbose": 0},
            },
            {
                "name": f"{__name__}:Anything",
                "options": {"names": ["a", "b"], "rates": {"a": 0.1}, "none": None, "small": "1e-3"},
            },
        ]
    ).train
    scheduler, anything = own_callbacks(train)
    assert scheduler.schedule is math.fmod
    assert anything.given == {"names": ["a", "b"], "rates": {"a": 0.1}, "none": None, "small": 1e-3}
    callback_state.check([scheduler, anything])
    unknown = {
        "name": "keras.callbacks:LearningRateScheduler",
        "options": {"schedule": {"function": "math:no"}},
    }
    with pytest.raises(
        ConfigError, match=r"train\.callbacks\[0\]\.options\.schedule: math has no function 'no'"
    ):
        own_callbacks(config([unknown]).train)


class Anything(keras.callbacks.Callback):
    """Keeps its arguments."""

    def __init__(self, **given: Any) -> None:
        super().__init__()
        self.given = given
