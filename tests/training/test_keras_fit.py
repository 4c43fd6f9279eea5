"""Every argument of every optimizer does in our step what it does in Keras's `fit`."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.test_step import CLASSES, LANES
from trainer.config.optimizers import ARGUMENTS
from trainer.config.sections import TrainSection
from trainer.distribution.single import Single
from trainer.errors import ConfigError
from trainer.models.freeze import freeze, rate_factors
from trainer.training.learning_rate import LearningRateSchedule
from trainer.training.setup.build_network import _optimizer
from trainer.training.step import TrainStep
from trainer.training.step.averages import assign_averages

BATCH, BATCHES, EPOCHS = 12, 3, 2
SHAPE = (4, 4, 1)
drawn = np.random.default_rng(0)
IMAGES = drawn.random((BATCH * BATCHES, *SHAPE), np.float32)
LABELS = drawn.integers(0, CLASSES, BATCH * BATCHES).astype(np.int32)

VALUES: dict[str, dict[str, Any]] = {
    "momentum": {"momentum": 0.7},
    "nesterov": {"nesterov": True, "momentum": 0.7},
    "beta_1": {"beta_1": 0.5},
    "beta_2": {"beta_2": 0.7},
    "epsilon": {"epsilon": 0.1},
    "amsgrad": {"amsgrad": True, "beta_2": 0.5},
    "rho": {"rho": 0.5},
    "centered": {"centered": True},
    "initial_accumulator_value": {"initial_accumulator_value": 0.5},
    "weight_decay": {"weight_decay": 0.3},
    "clipnorm": {"clipnorm": 0.05},
    "clipvalue": {"clipvalue": 0.01},
    "global_clipnorm": {"global_clipnorm": 0.05},
    "use_ema": {"use_ema": True},
    "ema_momentum": {"use_ema": True, "ema_momentum": 0.6},
    "ema_overwrite_frequency": {"use_ema": True, "ema_momentum": 0.6, "ema_overwrite_frequency": 2},
    "loss_scale_factor": {"loss_scale_factor": 1024.0},
    "gradient_accumulation_steps": {"gradient_accumulation_steps": 2},
}
"""Argument -> a value that is not the default, with what it needs to do anything."""


def plain() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Flatten(),
            keras.layers.Dense(4, activation="tanh", use_bias=False),
            keras.layers.Dense(CLASSES, activation="softmax", use_bias=False),
        ]
    )


def rich() -> keras.Model:
    """With statistics, penalties, a frozen layer, and one that no gradient reaches."""
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Conv2D(2, 3, activation="tanh", name="unreached"),
            keras.layers.Lambda(keras.ops.stop_gradient),
            keras.layers.Conv2D(2, 1, activation="tanh", name="frozen"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES, activation="softmax", kernel_regularizer="l2"),
        ]
    )
    freeze(model, "frozen")
    return model


Network = Callable[[], keras.Model]


def made(network: Network, precision: str) -> keras.Model:
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(precision)
    try:
        return network()
    finally:
        keras.config.set_dtype_policy("float32")


def fitted(train: TrainSection, network: Network = plain, rate: Any = None) -> list[np.ndarray]:
    """The weights that Keras's `fit` ends with; `rate` is a schedule of Keras's."""
    arguments = train.optimizer.model_dump(exclude={"name"})
    arguments["learning_rate"] = rate or arguments["learning_rate"]
    optimizer = type(keras.optimizers.get(train.optimizer.name))(**arguments)
    model = made(network, train.precision)
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(IMAGES, LABELS, BATCH, EPOCHS, shuffle=False, verbose=0)
    weights: list[np.ndarray] = model.get_weights()
    return weights


def stepped(train: TrainSection, network: Network = plain) -> list[np.ndarray]:
    """The weights that a run publishes as its last."""
    model = made(network, train.precision)
    optimizer = _optimizer(train, factors=rate_factors(model, train.layer_rates))
    optimizer.build(model.trainable_variables)
    step = TrainStep(
        model,
        optimizer,
        Single(),
        batch_size=BATCH,
        micro_rows=BATCH,
        micro_lanes=LANES,
        first_lane=0,
        seed=1,
        schedule=LearningRateSchedule(train, BATCHES),
    )
    for number in range(BATCHES * EPOCHS):
        rows = slice(number % BATCHES * BATCH, (number % BATCHES + 1) * BATCH)
        step(number, tf.constant(IMAGES[rows]), tf.constant(LABELS[rows]), tf.ones(BATCH), False)
    assign_averages(optimizer)
    weights: list[np.ndarray] = model.get_weights()
    return weights


def section(name: str, arguments: dict[str, Any], **train: Any) -> TrainSection:
    optimizer = {"name": name, "learning_rate": 0.02, **arguments}
    return TrainSection(epochs=EPOCHS, optimizer=optimizer, **train)


def assert_alike(one: list[np.ndarray], other: list[np.ndarray], tolerance: float = 1e-6) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def differ(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return any(float(np.abs(a - b).max()) > 1e-4 for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def defaults() -> dict[str, list[np.ndarray]]:
    """What each optimizer trains without arguments."""
    return {name: stepped(section(name, {})) for name in ARGUMENTS}


@pytest.mark.parametrize(
    ("name", "argument"), [(name, argument) for name, known in ARGUMENTS.items() for argument in known]
)
def test_each_argument_does_what_it_does_in_keras_s_fit(
    name: str, argument: str, defaults: dict[str, list[np.ndarray]]
) -> None:
    train = section(name, VALUES[argument])
    ours = stepped(train)
    assert_alike(ours, fitted(train))
    assert differ(ours, defaults[name]) is (argument != "loss_scale_factor"), "the value does something"


TOGETHER: dict[str, Any] = {
    "weight_decay": 0.3,
    "global_clipnorm": 0.05,
    "use_ema": True,
    "ema_momentum": 0.6,
    "gradient_accumulation_steps": 2,
    "loss_scale_factor": 3.0,
}


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_so_they_do_together_and_with_a_schedule(precision: str) -> None:
    """Under mixed_float16 Keras scales the loss by itself, and does not use loss_scale_factor. Halves have
    8 to 11 bits, and are rounded in another order: the weights are compared to that."""
    train = section("adam", TOGETHER, precision=precision, schedule="cosine")
    rate = keras.optimizers.schedules.CosineDecay(0.02, BATCHES * EPOCHS)
    assert_alike(stepped(train, rich), fitted(train, rich, rate), 1e-6 if precision == "float32" else 2e-3)


def test_a_network_that_no_gradient_reaches_is_refused() -> None:
    def still() -> keras.Model:
        dense = keras.layers.Dense(CLASSES, activation="softmax")
        return keras.Sequential(
            [keras.Input(SHAPE), keras.layers.Flatten(), dense, keras.layers.Lambda(keras.ops.stop_gradient)]
        )

    with pytest.raises(ConfigError, match="no gradient reaches them"):
        stepped(section("sgd", {}), still)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_the_last_layer_may_have_any_dtype(precision: str) -> None:
    train = section("sgd", {"learning_rate": 0.1}, precision=precision)
    assert_alike(stepped(train), fitted(train), 2e-3)
