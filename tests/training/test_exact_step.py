"""The exact step: what float sums give, once more where it does not fit, nothing where it diverged."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import config

from tests.training.test_step import BATCH, IMAGES, LABELS, LANES, difference, network, stepper, trained
from trainer.distribution.single import Single
from trainer.errors import DataError, RunError
from trainer.training.step import ExactStep
from trainer.training.step.fixed_point import FINEST

PARTS = 4
ROWS = tf.constant(LABELS), tf.ones(BATCH)


def exact_stepper(model: keras.Model, optimizer: keras.optimizers.Optimizer, **options: Any) -> ExactStep:
    return ExactStep(
        model,
        optimizer,
        Single(),
        groups=PARTS,
        batch_size=BATCH,
        micro_rows=BATCH // PARTS,
        micro_lanes=LANES // PARTS,
        first_lane=0,
        seed=1,
        **options,
    )


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the steps in the order in which they are computed."""
    numbers: list[int] = []
    of_rank = ExactStep._of_rank

    def counted(step: ExactStep, number: int, *arguments: Any) -> Any:
        numbers.append(number)
        return of_rank(step, number, *arguments)

    monkeypatch.setattr(ExactStep, "_of_rank", counted)
    return numbers


@pytest.fixture
def as_compiled_runs() -> Iterator[None]:
    """A run with XLA does not ask TensorFlow for deterministic kernels; a test before may have."""
    was = config.is_op_determinism_enabled()
    config.disable_op_determinism()
    yield
    if was:
        config.enable_op_determinism()


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.usefixtures("as_compiled_runs")
def test_it_gives_what_float_sums_give(computed: list[int], xla: bool) -> None:
    model, optimizer = network(use_batch=False)
    step = exact_stepper(model, optimizer, xla=xla)
    for number in range(5):
        read = step.read(step(number, tf.constant(IMAGES), *ROWS, number == 3))
        assert (read.sums.rows, read.stop_votes, read.finite) == (BATCH, number == 3, True)
    expected = trained(steps=5, parts=PARTS, use_batch=False)
    assert difference(model, expected) < 1e-5
    assert computed[:3] == [0, 0, 1], "the first step does not know yet how large its values are"
    assert len(computed) < 9


def test_what_does_not_fit_is_computed_once_more_with_wider_exponents(computed: list[int]) -> None:
    model, optimizer = network(use_batch=False)
    other, _ = network(use_batch=False)
    step, floating = exact_stepper(model, optimizer), stepper(other, other.optimizer, PARTS)
    for number, factor in enumerate((1.0, 1e-6, 1e6, 1e-3)):
        images = tf.constant(IMAGES * np.float32(factor))
        before = step.exponents
        read = step.read(step(number, images, *ROWS, False))
        expected = floating.read(floating(number, images, *ROWS, False))
        assert read.sums.loss == pytest.approx(expected.sums.loss, rel=1e-4)
        assert (step.exponents != before).any()
    assert computed.count(2) == 2
    assert difference(model, other) <= 1e-4 * max(np.abs(one).max() for one in other.get_weights())


def test_the_exponents_of_an_earlier_step_change_no_bit(computed: list[int]) -> None:
    """The ones that a state holds after a step that was computed twice are those of a step that fitted."""
    states = []
    for _ in range(2):
        model, optimizer = network()
        step = exact_stepper(model, optimizer)
        step(0, tf.constant(IMAGES), *ROWS, False)
        states.append((step.exponents.tolist(), [one.tobytes() for one in model.get_weights()]))
        assert states[0] == states[-1]
    again = exact_stepper(*network())
    again.resume(states[0][0])
    again(0, tf.constant(IMAGES), *ROWS, False)
    assert computed == [0, 0, 0, 0, 0], "resumed, it fits at once"
    assert max(states[0][0]) < FINEST
    with pytest.raises(DataError, match=r"expected exponents of \d+ variables, found 3"):
        again.resume([1, 2, 3])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_step_that_is_not_finite_assigns_nothing_and_is_not_computed_again(
    computed: list[int], value: float
) -> None:
    model, optimizer = network()
    step = exact_stepper(model, optimizer)
    images = IMAGES.copy()
    images[BATCH // PARTS] = value  # in the second group
    before = [one.copy() for one in model.get_weights()]
    assert not step.read(step(0, tf.constant(images), *ROWS, False)).finite
    assert computed == [0]
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


def test_a_loss_scale_that_is_too_high_skips_the_same_steps() -> None:
    def scaled() -> keras.optimizers.Optimizer:
        inner = keras.optimizers.SGD(0.1, momentum=0.9)
        return keras.optimizers.LossScaleOptimizer(inner, initial_scale=3e38, dynamic_growth_steps=3)

    model, optimizer = network(scaled())
    other, floating = network(scaled())
    steps = exact_stepper(model, optimizer), stepper(other, floating, PARTS)
    for number in range(10):
        for step in steps:
            assert step.read(step(number, tf.constant(IMAGES), *ROWS, False)).finite
    assert optimizer.iterations.numpy() == floating.iterations.numpy() < 10
    assert optimizer.dynamic_scale.numpy() == floating.dynamic_scale.numpy()
    assert difference(model, other) < 1e-4


def test_a_group_of_padding_adds_nothing_whatever_it_holds() -> None:
    step = exact_stepper(*network())
    rows = BATCH // PARTS
    weights = np.ones(BATCH, np.float32)
    weights[rows:] = 0
    images = IMAGES.copy()
    images[rows:] = 1e30
    step.exponents = np.zeros_like(step.exponents)
    votes = step._of_rank(0, (tf.constant(images), ROWS[0], tf.constant(weights)), True, step.exponents, None)
    alone = step._of_rank(
        0, (tf.constant(images[:rows]), ROWS[0][:rows], tf.ones(rows)), True, step.exponents, None
    )
    assert all((one.numpy() == other.numpy()).all() for one, other in zip(votes, alone, strict=True))


def test_a_device_that_computes_something_else_each_time_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    step = exact_stepper(*network())
    monkeypatch.setattr(ExactStep, "_again", lambda *_: True)
    with pytest.raises(RunError, match="step 0 was computed 3 times"):
        step(0, tf.constant(IMAGES), *ROWS, False)
