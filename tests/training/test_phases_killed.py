"""A run with phases that is killed and stopped in each of them, on other ranks and replicas each time."""

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.run_processes import Runs, interrupt
from tests.training.test_exact import EIGHT_GROUPS, GROUPED, ONE, finish, jpeg_runs, jpegs, words  # noqa: F401

pytestmark = pytest.mark.slow

PHASES: dict[str, Any] = {
    "model": {"name": "small-resnet", "options": {"width": 4, "depth": 1, "dropout": 0.2}} | GROUPED,
    "data": {"augment": {"flip": "horizontal", "shift": 0.1}},
    "train": EIGHT_GROUPS
    | {
        "epochs": 6,
        "phases": [
            {"epochs": 2, "freeze": "backbone", "learning_rate": 0.02, "warmup_epochs": 0.5},
            {"epochs": 4, "freeze": "all-but-last:12", "learning_rate": 0.002, "schedule": "cosine"},
        ],
        "layer_rates": {"backbone": 0.5},
        "optimizer": {"name": "adamw", "weight_decay": 0.01, "use_ema": True, "ema_momentum": 0.8},
        "reduce_lr_on_plateau": {"patience": 0, "monitor": "val_loss"},
        "early_stopping": {"monitor": "val_loss", "patience": 9, "restore_best_weights": True},
    },
    "run": {"checkpoint": {"every": "1 steps", "keep_last": 100}},
}
PHASE_STEPS, ALL_STEPS = 8, 24
"""Steps of the first phase, and of both."""


def interrupted(path: Path, strategy: str, ranks: int, number: signal.Signals, steps: int) -> int:
    """The signal, once that many steps are committed -> how many are."""
    return interrupt(path, words(path, strategy, ranks), number, steps)


@pytest.mark.long
def test_killed_in_the_first_and_stopped_in_the_second_it_ends_with_the_same_bits(
    jpeg_runs: Runs,  # noqa: F811
) -> None:
    expected = finish(jpeg_runs.config("undisturbed", **PHASES), *ONE)
    path = jpeg_runs.config("interrupted", **PHASES)
    assert interrupted(path, "horovod", 2, signal.SIGKILL, 3) < PHASE_STEPS
    assert interrupted(path, "mirrored", 2, signal.SIGTERM, PHASE_STEPS + 2) < ALL_STEPS
    assert finish(path, *ONE) == expected


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_interrupted_in_each_phase_on_ranks_and_replicas(
    jpeg_runs: Runs,  # noqa: F811
    number: signal.Signals,
    precision: str,
) -> None:
    sections = PHASES | {"train": PHASES["train"] | {"precision": precision}}
    expected = finish(jpeg_runs.config("undisturbed", **sections), *ONE)
    path = jpeg_runs.config("interrupted", **sections)
    steps = 0
    for strategy, ranks, until in (
        ("horovod", 2, 2),
        ("horovod", 1, 5),
        ("mirrored", 2, PHASE_STEPS),
        ("horovod", 3, PHASE_STEPS + 2),
        ("horovod", 1, PHASE_STEPS + 4),
    ):
        steps = interrupted(path, strategy, ranks, number, max(until, steps + 1))
    assert PHASE_STEPS < steps < ALL_STEPS
    for way in (("horovod", 2), ONE):
        assert finish(path, *way) == expected
