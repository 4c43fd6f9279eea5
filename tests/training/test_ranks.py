"""Ranks over Horovod, as real processes: they train one model, and the number of them changes nothing."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.run_processes import STATEFUL, Runs
from tests.training.in_process import store_of
from tests.training.in_process import train as train_here
from trainer.checkpoints.restore import restore
from trainer.runs.run_document import read_finished

pytestmark = pytest.mark.slow

PLAIN = {"name": "lab-cnn", "options": {"n_filters": 4, "use_batch": False}}
FIFTY_STEPS = {"epochs": 3, "batch_size": 60, "lanes": 4, "optimizer": {"name": "sgd", "learning_rate": 0.05}}
ONE_EPOCH = FIFTY_STEPS | {"epochs": 1}


def test_one_two_and_three_ranks_train_the_same_weights(runs, monkeypatch: pytest.MonkeyPatch):
    """Three ranks share four lanes unevenly, and one is slow, which its own part of the steps shows.

    Fails if the exchange is a silent no-op.
    """
    monkeypatch.setenv("SLOW_RANK", "2 0.05")
    weights, folders = {}, {}
    for ranks in (1, 2, 3):
        config = runs.config(f"{ranks}-ranks", model=PLAIN, train=FIFTY_STEPS)
        folder = folders[ranks] = runs.finish(config, ranks)
        first = runs.digests(folder)
        assert len(first) >= 50
        assert [runs.digests(folder, rank) for rank in range(1, ranks)] == [first] * (ranks - 1)
        weights[ranks] = runs.weights(folder)
    shortest = [float((folders[3] / f"work-{rank}").read_text()) for rank in range(3)]
    assert shortest[2] >= 0.05
    assert 0 < max(shortest[:2]) < shortest[2]
    for ranks in (2, 3):
        worst = max(np.abs(a - b).max() for a, b in zip(weights[1], weights[ranks], strict=True))
        assert 0 < worst <= 1e-5


def test_all_ranks_hold_the_same_state_after_every_step(runs, four_ranks: Path):
    first = runs.digests(four_ranks, 0)
    assert len(set(first)) == len(first) >= 15
    assert [runs.digests(four_ranks, rank) for rank in (1, 2, 3)] == [first] * 3


def test_four_deterministic_ranks_with_random_delays_end_with_the_same_bits(runs, four_ranks: Path):
    again = runs.finish(runs.config("delayed", **STATEFUL), 4, "--delays", "2")
    for folder in (four_ranks, again):
        errors = re.findall(r"^E\d{4} .*", (folder / "log").read_text(), re.MULTILINE)
        assert errors == [], "TensorFlow logged them"
    assert runs.digests(again) == runs.digests(four_ranks)


def trained(runs: Runs, config: Path, ranks: int) -> tuple[int, list[np.ndarray]]:
    """Steps and last weights of a run, in this process where one rank is enough."""
    if ranks == 1:
        train_here(config)
    else:
        runs.finish(config, ranks)
    found = read_finished(store_of(config))
    assert found
    return found.steps, runs.weights(config.parent)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, digits: str) -> tuple[int, list[np.ndarray]]:
    """Steps and last weights of one rank after an epoch, all its lanes at once."""
    runs = Runs(tmp_path_factory.mktemp("alone"), digits)
    return trained(runs, runs.config("alone", model=PLAIN, train=ONE_EPOCH), 1)


@pytest.mark.parametrize("ranks", [1, 2])
def test_micro_batches_are_one_update(runs, alone, ranks: int):
    in_parts = runs.config("parts", model=PLAIN, train=ONE_EPOCH | {"micro_batch": 1})
    steps, weights = trained(runs, in_parts, ranks)
    assert steps == alone[0]
    for a, b in zip(alone[1], weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize(
    ("epochs", "others"),
    [(1, [2]), pytest.param(3, [2, 3], marks=[pytest.mark.long, pytest.mark.timeout(900)])],
)
def test_grouped_batch_norm_does_not_depend_on_the_ranks(runs, epochs: int, others: list[int]):
    model = {"name": "lab-cnn", "options": {"n_filters": 4}, "batch_norm": "grouped"}
    calm = {"name": "sgd", "learning_rate": 0.005}  # rounding is not blown up
    train = FIFTY_STEPS | {"epochs": epochs, "lanes": 6, "micro_batch": 2, "optimizer": calm}
    one, *more = (
        trained(runs, runs.config(f"{ranks}-ranks", model=model, train=train), ranks)[1]
        for ranks in (1, *others)
    )
    for weights in more:
        worst = max(np.abs(a - b).max() for a, b in zip(one, weights, strict=True))
        assert 0 < worst <= 1e-5 * epochs


def test_an_overflow_on_the_way_skips_the_same_steps_on_every_rank(runs, monkeypatch):
    """Compiled, in float16, and exchanged in float16."""
    monkeypatch.setenv("LOSS_SCALE", "1e7")
    train = {"precision": "mixed_float16", "xla": "on", "lanes": 4, "batch_size": 60}
    config = runs.config("float16", train=train, distribution={"exchange": "float16"})
    folder = runs.finish(config, 2)
    assert runs.digests(folder, 0) == runs.digests(folder, 1)
    state = restore(store_of(config))
    assert state
    updates = max(int(array) for name, array in state.arrays.items() if name.endswith("/iteration"))
    assert 5 < updates < state.step - 5


def test_compiled_steps_are_the_same_steps(runs, alone):
    config = runs.config("compiled", model=PLAIN, train=ONE_EPOCH | {"xla": "on"})
    compiled = runs.weights(runs.finish(config, 2))
    worst = max(np.abs(a - b).max() for a, b in zip(alone[1], compiled, strict=True))
    assert 0 < worst <= 1e-5


@pytest.mark.long
@pytest.mark.timeout(600)
def test_compiled_steps_resume_to_the_same_bits(runs):
    train = {"epochs": 2, "xla": "on", "deterministic": True, "lanes": 4}
    model = STATEFUL["model"]
    whole = runs.finish(runs.config("whole", model=model, train=train), 2)
    runs.finish(runs.config("parts", model=model, train=train | {"epochs": 1}), 2)
    parts = runs.finish(runs.config("parts", model=model, train=train), 2)
    assert runs.digests(whole) == runs.digests(parts)


def test_moving_averages_and_their_metrics_are_those_of_one_rank(runs):
    optimizer = {"name": "sgd", "learning_rate": 0.05, "use_ema": True, "gradient_accumulation_steps": 2}
    train = FIFTY_STEPS | {"epochs": 2, "optimizer": optimizer}
    one = train_here(single := runs.config("one", model=PLAIN, train=train))
    two = runs.finish(config := runs.config("two", model=PLAIN, train=train), 2)
    assert runs.digests(two, 0) == runs.digests(two, 1)
    worst = max(
        np.abs(a - b).max() for a, b in zip(runs.weights(single.parent), runs.weights(two), strict=True)
    )
    assert 0 < worst <= 1e-5
    found = read_finished(store_of(config))
    assert found
    for name in ("loss", "val_loss"):
        assert found.last.metrics[name] == pytest.approx(one.last.metrics[name], abs=1e-5)
