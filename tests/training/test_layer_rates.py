"""Learning rates by layer are those of one optimizer for each group of layers."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.test_keras_fit import (
    BATCH,
    BATCHES,
    EPOCHS,
    IMAGES,
    LABELS,
    VALUES,
    made,
    section,
    stepped,
)
from tests.training.test_step import CLASSES
from trainer.config.optimizers import ARGUMENTS
from trainer.errors import ConfigError
from trainer.models.freeze import rate_factors

FACTORS = {"first": 0.1, "*": 0.5}
RATES = {"first": 0.05, "second": 0.5}


def network() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(4, activation="tanh", name="first"),
            keras.layers.Dense(CLASSES, activation="softmax", name="second"),
        ]
    )


def one_for_each_layer(train: Any) -> list[np.ndarray]:
    """Keras's optimizers, one for each layer, with its learning rate."""
    model = made(network, train.precision)
    arguments = train.optimizer.model_dump(exclude={"name"})
    kind = type(keras.optimizers.get(train.optimizer.name))
    optimizers = {
        name: kind(**arguments | {"learning_rate": arguments["learning_rate"] * rate})
        for name, rate in RATES.items()
    }
    layers = {name: model.get_layer(name) for name in RATES}
    for number in range(BATCHES * EPOCHS):
        rows = slice(number % BATCHES * BATCH, (number % BATCHES + 1) * BATCH)
        with tf.GradientTape() as tape:
            losses = keras.losses.sparse_categorical_crossentropy(LABELS[rows], model(IMAGES[rows]))
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, model.trainable_variables)
        for name, own in (("first", gradients[:2]), ("second", gradients[2:])):
            optimizers[name].apply(own, layers[name].trainable_variables)
    for name, layer in layers.items():
        optimizers[name].finalize_variable_values(layer.trainable_variables)
    weights: list[np.ndarray] = model.get_weights()
    return weights


CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in ARGUMENTS),
    *(("sgd", VALUES[name]) for name in ("nesterov", "weight_decay", "ema_momentum", "clipvalue")),
    *(("adamw", VALUES[name]) for name in ("weight_decay", "amsgrad", "gradient_accumulation_steps")),
    ("rmsprop", VALUES["momentum"] | VALUES["weight_decay"]),
]


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_they_are_those_of_an_optimizer_for_each(name: str, arguments: dict[str, Any]) -> None:
    train = section(name, arguments, layer_rates=FACTORS)
    ours = stepped(train, network)
    for one, other in zip(ours, one_for_each_layer(train), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    plain = stepped(section(name, arguments), network)
    assert any(float(np.abs(a - b).max()) > 1e-5 for a, b in zip(ours, plain, strict=True))


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_they_hold_in_mixed_precision(precision: str) -> None:
    train = section("adam", VALUES["use_ema"], layer_rates=FACTORS)
    mixed = section("adam", VALUES["use_ema"], layer_rates=FACTORS, precision=precision)
    for one, other in zip(stepped(train, network), stepped(mixed, network), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-2)


def test_factors_of_several_names_are_multiplied_in_any_order() -> None:
    model = network()
    backwards = dict(reversed(FACTORS.items()))
    assert rate_factors(model, FACTORS) == rate_factors(model, backwards) == (0.05, 0.05, 0.5, 0.5)
    assert rate_factors(model, None) == (1.0,) * 4


def test_a_name_without_a_layer_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train.layer_rates: no layer with weights in \w+ matches 'third'"):
        rate_factors(network(), {"third": 0.1})
