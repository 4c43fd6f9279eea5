"""A run that diverges ends with 64, and nothing that is not finite is kept or published."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.run_processes import Runs, committed_steps
from tests.training.in_process import store_of, train
from trainer.checkpoints.restore import restore
from trainer.distribution.single import Single
from trainer.evaluation.tally import Tally
from trainer.runs.run_document import Reached, RunResult
from trainer.storage import Store
from trainer.training.evaluator import _add
from trainer.training.finish import _over_all_ranks
from trainer.training.finite import Diverged
from trainer.training.run_state import digest

from .test_step import BATCH, IMAGES, LABELS, network, stepper


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_step_that_is_not_finite_assigns_nothing(bad: float):
    model, optimizer = network()
    step = stepper(model, optimizer)
    before = digest(model, optimizer)
    images = IMAGES.copy()
    images[0] = bad
    result = step.read(step(0, tf.constant(images), tf.constant(LABELS), tf.ones(BATCH), False))
    assert not result.finite
    assert digest(model, optimizer) == before
    assert step.read(step(1, tf.constant(IMAGES), tf.constant(LABELS), tf.ones(BATCH), False)).finite
    assert digest(model, optimizer) != before


def test_loss_scaling_skips_an_update_and_goes_on():
    model, optimizer = network(
        optimizer=keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=1e38)
    )
    step = stepper(model, optimizer)
    before = [v.numpy() for v in model.trainable_variables]
    result = step.read(step(0, tf.constant(IMAGES), tf.constant(LABELS), tf.ones(BATCH), False))
    assert result.finite
    for variable, value in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert float(optimizer.dynamic_scale) < 1e38


class FromTheSecondEpoch(keras.callbacks.Callback):
    """Makes a healthy run diverge."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            self.model.optimizer.learning_rate = 3e38


def diverging(config: Path, *callbacks: keras.callbacks.Callback) -> Store:
    """Trains in this process until that ends as it must -> the run's folder."""
    with pytest.raises(Diverged, match=r"training diverged: .*model\.weights"):
        train(config, *callbacks)
    return store_of(config)


WILD = {"optimizer": {"name": "sgd", "learning_rate": 3e38}}


def test_no_checkpoint_holds_what_is_not_finite(runs: Runs):
    each = {"checkpoint": {"every": "1 step"}}
    store = diverging(runs.config("run", train={"epochs": 3}, run=each), FromTheSecondEpoch())
    steps = committed_steps(store)
    assert steps[0] >= 20
    for step in steps:
        state = restore(store, step=step)
        assert state
        assert all(np.isfinite(array).all() for array in state.arrays.values())


def test_a_last_step_that_diverges_finishes_nothing(runs: Runs):
    store = diverging(runs.config("run", train=WILD | {"batch_size": 1200}))
    kept = {info.key for info in store.list()}
    assert not [key for key in kept if key.endswith(".weights.h5") or key in ("finished.json", "model.keras")]
    assert committed_steps(store) == []


def test_a_new_run_starts_from_the_weights_of_one_that_diverged(runs: Runs):
    first = diverging(runs.config("first", train={"epochs": 2}), FromTheSecondEpoch())
    second = runs.config("second", model={"weights": first.url}, train={"optimizer": {"name": "sgd"}})
    train(second)
    metrics = json.loads(store_of(second).get("finished.json"))["last"]["metrics"]
    assert all(np.isfinite(value) for value in metrics.values())


def test_finished_json_is_json():
    with pytest.raises(ValueError, match="JSON"):
        RunResult(1, 1, False, last=Reached(1, {"loss": float("nan")}), best=None).dumps()


def test_rows_without_finite_probabilities_are_left_out_of_no_evaluation():
    tally, probabilities = Tally(2), np.array([[0.5, 0.5], [np.inf, 0.0]], np.float32)
    _add(tally, 2, np.arange(2), np.zeros(2, np.int32), probabilities)
    assert tally.rows == 0
    loop = Mock(distribution=Single())
    loop.plan.dataset.split.return_value.rows = 2
    with pytest.raises(Diverged, match="the probabilities of 2 images of the test split are not finite"):
        _over_all_ranks(tally, loop, "test")
    _add(tally, 1, np.arange(2), np.zeros(2, np.int32), probabilities)
    assert tally.rows == 1, "what pads a batch does not matter"
