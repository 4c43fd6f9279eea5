"""Replicas in one process: the same weights as ranks of Horovod, and as one alone."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.commands import refused, trainer
from tests.run_processes import Runs
from tests.training.in_process import train

PLAIN = {"name": "lab-cnn", "options": {"n_filters": 4, "use_batch": False}}
THREE_EPOCHS = {
    "epochs": 3,
    "batch_size": 60,
    "lanes": 4,
    "schedule": "inverse_time",
    "decay": 0.001,
    "optimizer": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.5, "global_clipnorm": 1.0},
}


def go_on(config: Path, epochs: int, strategy: str, ranks: int, *sets: str) -> Path:
    """A start that trains to so many epochs; returns the folder of the YAML."""
    values = (f"train.epochs={epochs}", f"distribution.strategy={strategy}", *sets)
    words = [word for value in values for word in ("--set", value)]
    done = trainer("train", "--config", str(config), "--ranks", str(ranks), *words)
    assert done.returncode == 0, done.stderr
    if strategy == "mirrored" and ranks > 1:
        assert f"on {ranks} replicas of one process" in done.stderr
    return config.parent


def worst(runs: Runs, one: Path, other: Path) -> float:
    return max(
        float(np.abs(a - b).max()) for a, b in zip(runs.weights(one), runs.weights(other), strict=True)
    )


def test_a_run_may_change_between_ranks_replicas_and_one_process(runs: Runs) -> None:
    undisturbed = runs.config("undisturbed", model=PLAIN, train=THREE_EPOCHS)
    train(undisturbed)
    changing = runs.config("changing", model=PLAIN, train=THREE_EPOCHS)
    go_on(changing, 1, "horovod", 2)
    go_on(changing, 2, "mirrored", 3)
    folder = go_on(changing, 3, "mirrored", 1)
    assert 0 < worst(runs, undisturbed.parent, folder) <= 1e-5


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["horovod", "mirrored"])
def test_two_of_them_train_the_weights_of_one(runs: Runs, name: str) -> None:
    one = runs.config("one", model=PLAIN, train=THREE_EPOCHS)
    train(one)
    two = go_on(runs.config("two", model=PLAIN, train=THREE_EPOCHS), 3, name, 2)
    assert 0 < worst(runs, one.parent, two) <= 1e-5


@pytest.mark.parametrize(("precision", "xla"), [("mixed_float16", "on"), ("mixed_bfloat16", "off")])
def test_whatever_a_step_assigns_is_assigned_to_every_copy(precision: str, xla: str) -> None:
    """Batch norm, dropout, weight decay, moving averages and the loss scale, in two micro-batches; and all
    replicas evaluate."""
    command = [sys.executable, "-m", "tests.training.replicas", precision, xla]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "0", "True"]


def test_replicas_are_of_one_pod(runs: Runs) -> None:
    config = runs.config("pods", distribution={"strategy": "mirrored"})
    words = ("supervise", "--config", str(config), "--ranks", "2")
    line = refused(*words, TRAINER_COORDINATOR="127.0.0.1:1", TRAINER_POD_INDEX="0", TRAINER_PODS="2")
    assert "distribution.strategy: mirrored: expected one pod, received 2" in line
