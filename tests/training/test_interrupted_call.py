"""Ctrl-C in a notebook or a script: the training stops after its step, and the same call resumes."""

import logging
import os
import signal
from pathlib import Path
from typing import Any

import keras
import pytest

import trainer
from tests.datasets import make_folders
from trainer.runs import layout
from trainer.storage import open_store


class InterruptAt(keras.callbacks.Callback):
    """Sends SIGINT to this process in one step."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step, self.steps = step, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += 1
        if self.steps == self.step:
            os.kill(os.getpid(), signal.SIGINT)

    def get_state(self) -> dict[str, Any]:
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Nothing to remember."""


def test_it_stops_after_the_step_and_the_same_call_resumes(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "trainer")
    make_folders(tmp_path / "photos", {"cat": 12, "dog": 12}, (12, 12))
    data = trainer.prepare(tmp_path / "photos", tmp_path / "data", validation=0.25, test=0.0, progress=False)
    options: dict[str, Any] = {
        "recipe": "lab-1",
        "data": data,
        "epochs": 4,
        "batch_size": 3,
        "deterministic": True,
    }
    before = signal.getsignal(signal.SIGINT)
    interrupt = InterruptAt(8)
    with pytest.raises(KeyboardInterrupt, match=r"step \d+ is saved"):
        trainer.train(**options, run=tmp_path / "run", callbacks=[interrupt])
    assert signal.getsignal(signal.SIGINT) is before
    assert 8 <= interrupt.steps < 24
    assert any("stopping after this step" in record.getMessage() for record in caplog.records)
    assert list(open_store(str(tmp_path / "run")).list(layout.CHECKPOINTS))
    resumed = trainer.train(**options, run=tmp_path / "run", callbacks=[InterruptAt(0)])
    assert any(f"resuming at step {interrupt.steps}" in record.getMessage() for record in caplog.records)
    whole = trainer.train(**options, run=tmp_path / "whole", callbacks=[InterruptAt(0)])
    assert (resumed.steps, resumed.history) == (24, whole.history)
    assert trainer.train(**options, run=tmp_path / "run").epochs == 4, "it has finished"
