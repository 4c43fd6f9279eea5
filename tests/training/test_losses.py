"""Losses are those of Keras's `fit` and `evaluate`, with the penalties of regularizers."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.test_keras_fit import BATCH, BATCHES, EPOCHS, IMAGES, LABELS, SHAPE
from tests.training.test_step import CLASSES
from trainer.distribution.single import Single
from trainer.training.step import EvaluationStep, Sums, TrainStep, balanced_class_weights

CLASS_WEIGHTS = balanced_class_weights(np.bincount(LABELS, minlength=CLASSES))
ROWS = 29
"""Of the validation: its last batch is padded."""


def network(activity: str | None) -> keras.Model:
    keras.utils.set_random_seed(1)
    l2 = keras.regularizers.L2(0.1)
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Flatten(),
            keras.layers.Dense(4, activation="tanh", kernel_regularizer=l2, activity_regularizer=activity),
            keras.layers.Dense(CLASSES, activation="softmax", bias_regularizer="l1"),
        ]
    )
    loss: Any = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    model.compile(keras.optimizers.SGD(0.05), loss, metrics=["accuracy"], jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def stepper(model: keras.Model, parts: int = 1) -> TrainStep:
    return TrainStep(
        model,
        model.optimizer,
        Single(),
        batch_size=BATCH,
        micro_rows=BATCH // parts,
        micro_lanes=1,
        first_lane=0,
        seed=1,
        class_weights=CLASS_WEIGHTS,
        label_smoothing=0.1,
    )


def batch(number: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    rows = slice(number % BATCHES * BATCH, (number % BATCHES + 1) * BATCH)
    return tf.constant(IMAGES[rows]), tf.constant(LABELS[rows]), tf.ones(BATCH)


def validated(model: keras.Model, rows: range) -> Sums:
    """By a rank that has these rows, in padded batches as they come from the stream."""
    step, sums = EvaluationStep(model, Single(), 0.1), Sums()
    for start in range(rows.start, rows.stop, BATCH):
        own = np.arange(start, min(start + BATCH, rows.stop))
        places = own[np.arange(BATCH) % len(own)]
        weights = (np.arange(BATCH) < len(own)).astype(np.float32)
        sums += step(tf.constant(IMAGES[places]), tf.constant(LABELS[places]), tf.constant(weights))[0]
    return sums


@pytest.mark.parametrize(("parts", "activity"), [(1, "l2"), (3, "l2"), (3, None)])
def test_they_are_those_of_keras_s_fit(parts: int, activity: str | None) -> None:
    expected = network(activity)
    one_hot = keras.utils.to_categorical(LABELS, CLASSES)
    history = expected.fit(
        IMAGES,
        one_hot,
        BATCH,
        EPOCHS,
        shuffle=False,
        verbose=0,
        class_weight=dict(enumerate(CLASS_WEIGHTS)),
        validation_data=(IMAGES[:ROWS], one_hot[:ROWS]),
    ).history

    model = network(activity)
    step = stepper(model, parts)
    for epoch in range(EPOCHS):
        sums = Sums()
        for number in range(BATCHES):
            sums += step.read(step(epoch * BATCHES + number, *batch(number), False)).sums
        found = sums.means() | validated(model, range(ROWS)).means("val_")
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert found[name] == pytest.approx(history[name][epoch], rel=1e-6), (name, epoch)
    ranks = validated(model, range(15)) + validated(model, range(15, ROWS))
    assert ranks.means("val_")["val_loss"] == pytest.approx(history["val_loss"][-1], rel=1e-6)


def test_two_ranks_count_a_penalty_once() -> None:
    """Also where one repeats rows of its own to fill a micro-batch: but not what a layer says of its rows."""
    model = network(None)
    step = stepper(model)
    images, labels, weights = batch(0)
    whole = step.read(step(0, images, labels, weights, False)).sums

    model = network(None)
    halves = stepper(model, parts=2)

    def part(rows: list[int], counted: list[int]) -> np.ndarray:
        places, weights = tf.constant(rows), tf.constant(counted, tf.float32)
        given = tf.gather(images, places), tf.gather(labels, places), weights
        found: np.ndarray = halves.first_part(0, *given, first_lane=0).numpy()
        return found

    total = part([5, 6, 7, 8, 9, 10], [1] * 6) + part([0, 1, 2, 3, 4, 0], [1] * 5 + [0])
    total += part([11] * 6, [1] + [0] * 5)
    np.testing.assert_allclose(total[-5:-1], whole.values(), rtol=1e-6)
