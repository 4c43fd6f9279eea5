"""When the chief saves, and what it logs about it."""

import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.run_processes import committed_steps
from trainer.checkpoints.training_state import TrainingState
from trainer.config.run_sections import RunSection
from trainer.observability.metrics import RunMetrics
from trainer.runs.background_writer import Background
from trainer.runs.fence import Fence
from trainer.storage import open_store
from trainer.training.run_state import Progress
from trainer.training.saver import saver


def steps_saved(folder: Path, run: RunSection, *, chief: bool = True) -> list[int]:
    store, progress = open_store(str(folder)), Progress()
    fence = Fence.take(store, {}) if chief else None
    with saver(store, fence, Background(store.url), run, progress, RunMetrics(0), lambda: 2) as save:
        for progress.step in range(1, 6):
            save(progress, lambda: TrainingState(progress.step, {"w": np.zeros(3)}, {}))
        save.finish(lambda: TrainingState(progress.step, {"w": np.zeros(3)}, {}))
    return sorted(committed_steps(store))


def run_of(grace: float) -> RunSection:
    return RunSection.model_validate({"url": "s3://b/r", "grace": grace, "checkpoint": {"every": "2 steps"}})


def test_the_chief_saves_when_it_is_due_and_at_the_end(tmp_path: Path):
    assert steps_saved(tmp_path, run_of(60)) == [2, 4, 5]


def test_the_other_ranks_save_nothing(tmp_path: Path):
    assert steps_saved(tmp_path, run_of(60), chief=False) == []


def test_a_save_that_could_outgrow_the_grace_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    steps_saved(tmp_path / "roomy", run_of(60))
    assert "run.grace" not in caplog.text
    steps_saved(tmp_path / "narrow", run_of(1e-9))
    assert caplog.text.count("raise run.grace") == 1


def test_continuous_checkpoints_start_when_the_last_one_is_stored_and_hold_up_no_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    checkpoint = {"every": "continuous", "keep_last": 9}
    run = RunSection.model_validate({"url": "s3://b/r", "checkpoint": checkpoint})
    store, progress, stored = open_store(str(tmp_path)), Progress(), threading.Event()
    fence, background = Fence.take(store, {}), Background(store.url)
    put = type(store).put

    def slow_put(*arguments: Any, **options: Any) -> str:
        assert stored.wait(60)
        return put(*arguments, **options)

    monkeypatch.setattr(type(store), "put", slow_put)
    with saver(store, fence, background, run, progress, RunMetrics(0), lambda: None) as save:
        for progress.step in range(1, 6):
            if progress.step == 4:
                stored.set()
                background.wait()
            for _ in range(2):
                save(progress, lambda: TrainingState(progress.step, {"w": np.zeros(3)}, {}))
            if progress.step == 4:
                background.wait()
    assert sorted(committed_steps(store)) == [1, 4, 5]
