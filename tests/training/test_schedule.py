"""The learning rate over a run is that of Keras's own schedules, and what callbacks make of it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.test_step import BATCH, IMAGES, LABELS, difference, network, stepper
from trainer.config import load
from trainer.config.sections import TrainSection
from trainer.errors import ConfigError
from trainer.training.learning_rate import LearningRateSchedule

STEPS = 10


def factors(steps_per_epoch: int = 5, **train: object) -> list[float]:
    schedule = LearningRateSchedule(TrainSection(epochs=STEPS // steps_per_epoch, **train), steps_per_epoch)
    return [float(schedule(tf.constant(step))) for step in range(STEPS)]


def test_cosine_is_kerass() -> None:
    keras_s = keras.optimizers.schedules.CosineDecay(1.0, STEPS)
    np.testing.assert_allclose(
        factors(schedule="cosine"), [float(keras_s(s)) for s in range(STEPS)], atol=1e-6
    )


def test_inverse_time_is_kerass() -> None:
    keras_s = keras.optimizers.schedules.InverseTimeDecay(1.0, 1, 0.01)
    np.testing.assert_allclose(
        factors(schedule="inverse_time", decay=0.01), [float(keras_s(s)) for s in range(STEPS)], rtol=1e-6
    )


def test_the_warm_up_rises_evenly_and_then_the_schedule_begins() -> None:
    found = factors(schedule="cosine", warmup_epochs=0.8)
    np.testing.assert_allclose(found[:5], [0.25, 0.5, 0.75, 1.0, 1.0])
    assert found[5:] == sorted(found[5:], reverse=True)
    assert factors() == [1.0] * STEPS


def test_ten_steps_are_keras_s_own_with_its_schedule_and_smoothed_labels() -> None:
    model, optimizer = network()
    schedule = LearningRateSchedule(TrainSection(epochs=2, schedule="cosine"), STEPS // 2)
    step = stepper(model, optimizer, schedule=schedule, label_smoothing=0.1)
    for number in range(STEPS):
        step(number, tf.constant(IMAGES), tf.constant(LABELS), tf.ones(BATCH), False)
    assert float(optimizer.learning_rate) == pytest.approx(0.1)
    assert step.rate() == pytest.approx(0, abs=1e-9)

    expected, _ = network(
        keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, STEPS), momentum=0.9)
    )
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    expected.compile(optimizer=expected.optimizer, loss=loss, jit_compile=False)
    for _ in range(STEPS):
        expected.train_on_batch(IMAGES, keras.utils.to_categorical(LABELS, 5))
    assert difference(model, expected) < 1e-5


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        (
            ["train.decay=0.1"],
            "with train.schedule inverse_time and 0 with others, received 0.1 with constant",
        ),
        (["train.schedule=inverse_time"], "expected above 0 with train.schedule inverse_time"),
        (["train.warmup_epochs=20"], "expected less than the 20 of train.epochs, received 20"),
        (["train.label_smoothing=1"], "train.label_smoothing: expected a value less than 1"),
        (["train.schedule=cosin"], "train.schedule"),
    ],
)
def test_invalid_values(sets: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(recipe="lab-1", overrides=["data.url=s3://b/d", "run.url=s3://b/r", *sets])
