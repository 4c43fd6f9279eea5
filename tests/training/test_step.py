"""The pure step: what Keras computes, in any number of micro-batches."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.distribution.single import Single
from trainer.models import build
from trainer.training.run_state import digest
from trainer.training.step import TrainStep, balanced_class_weights

BATCH, LANES, CLASSES, SHAPE = 24, 12, 5, (8, 8, 3)
generator = np.random.default_rng(0)
IMAGES = generator.random((BATCH, *SHAPE), np.float32)
LABELS = generator.integers(0, CLASSES, BATCH).astype(np.int32)


NETWORKS: dict[str, dict[str, Any]] = {
    "lab-cnn": {"n_filters": 4, "n_dense_layers": 1, "n_nodes": 8},
    "small-resnet": {"width": 4, "depth": 1, "dropout": 0.0},
}


def network(optimizer=None, name="lab-cnn", **options):
    keras.utils.clear_session()
    keras.utils.set_random_seed(1)
    model = build(name, SHAPE, CLASSES, NETWORKS[name] | options)
    optimizer = optimizer or keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", jit_compile=False)
    optimizer.build(model.trainable_variables)
    return model, optimizer


def stepper(model, optimizer, parts=1, rows=BATCH, class_weights=None, **options):
    return TrainStep(
        model,
        optimizer,
        Single(),
        batch_size=BATCH,
        micro_rows=rows // parts,
        micro_lanes=LANES // parts,
        first_lane=0,
        seed=1,
        class_weights=class_weights,
        **options,
    )


def trained(steps=10, parts=1, rows=BATCH, class_weights=None, xla=False, **options):
    model, optimizer = network(**options)
    step = stepper(model, optimizer, parts, rows, class_weights, xla=xla)
    pad = np.arange(rows) % BATCH
    weights = (np.arange(rows) < BATCH).astype(np.float32)
    for number in range(steps):
        result = step(
            number, tf.constant(IMAGES[pad]), tf.constant(LABELS[pad]), tf.constant(weights), number == 3
        )
        read = step.read(result)
        assert read.sums.rows == BATCH
        assert read.stop_votes == (number == 3)
    return model


def difference(one, other):
    return max(
        float(np.abs(a - b).max()) for a, b in zip(one.get_weights(), other.get_weights(), strict=True)
    )


@pytest.mark.parametrize(("name", "xla"), [("lab-cnn", False), ("small-resnet", True)])
def test_ten_steps_are_keras_s_own_ten_steps(name: str, xla: bool):
    model, _ = network(name=name)
    for _ in range(10):
        model.train_on_batch(IMAGES, LABELS)
    assert difference(model, trained(name=name, xla=xla)) < 1e-5


def test_a_loss_scale_goes_as_keras_s_own():
    def scaled():
        inner = keras.optimizers.SGD(0.1, momentum=0.9)
        return keras.optimizers.LossScaleOptimizer(inner, initial_scale=3e38, dynamic_growth_steps=3)

    model, own = network(scaled())
    for _ in range(10):
        model.train_on_batch(IMAGES, LABELS)
    other, optimizer = network(scaled())
    step = stepper(other, optimizer)
    batch = (tf.constant(IMAGES), tf.constant(LABELS), tf.ones(BATCH))
    for number in range(10):
        step(number, *batch, False)
    assert own.iterations.numpy() == optimizer.iterations.numpy() < 10
    assert own.dynamic_scale.numpy() == optimizer.dynamic_scale.numpy()
    assert own.step_counter.numpy() == optimizer.step_counter.numpy()
    assert difference(model, other) < 1e-4


def test_class_weights_are_keras_s():
    model, _ = network()
    weights = balanced_class_weights(np.bincount(LABELS, minlength=CLASSES))
    for _ in range(4):
        model.train_on_batch(IMAGES, LABELS, class_weight=dict(enumerate(weights)))
    assert difference(model, trained(steps=4, class_weights=weights)) < 1e-5


@pytest.mark.parametrize("parts", [2, 3, 12])
def test_micro_batches_change_nothing_without_batch_norm(parts: int):
    assert difference(trained(use_batch=False), trained(parts=parts, use_batch=False)) < 1e-5


def test_padding_changes_nothing_without_batch_norm():
    assert difference(trained(use_batch=False), trained(rows=36, use_batch=False)) < 1e-5


def test_compiled_dropout_is_a_function_of_seed_and_step():
    one, other = (trained(name="small-resnet", dropout=0.3, xla=True) for _ in range(2))
    assert digest(one, one.optimizer) == digest(other, other.optimizer)


def test_dropout_is_a_function_of_seed_and_step():
    one, other = trained(use_dropout=True), trained(use_dropout=True)
    assert digest(one, one.optimizer) == digest(other, other.optimizer)
    assert difference(one, trained()) > 1e-3


def test_balanced_class_weights_are_scikit_learn_s():
    from sklearn.utils.class_weight import compute_class_weight

    expected = compute_class_weight("balanced", classes=np.arange(CLASSES), y=LABELS)
    np.testing.assert_allclose(balanced_class_weights(np.bincount(LABELS)), expected, rtol=1e-6)
