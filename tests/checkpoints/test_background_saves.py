"""Saving happens behind the training: what the caller waits for, hears of, and pays."""

import logging
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

from trainer.checkpoints.commit import survey
from trainer.checkpoints.restore import restore
from trainer.checkpoints.training_state import TrainingState
from trainer.checkpoints.writer import CheckpointWriter
from trainer.errors import TransientError
from trainer.runs.background_writer import Background
from trainer.runs.fence import Fence, Superseded
from trainer.storage import Store, open_store


class Gate:
    """A store whose PUTs of arrays wait until the gate is open, and fail while `fails` says so."""

    def __init__(self, store: Store) -> None:
        self.store, self.url = store, store.url
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.fails: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def put(self, key: str, data: Any, **options: Any) -> str:
        if "arrays" in key:
            self.entered.set()
            self.open.wait()
            if self.fails:
                raise self.fails
        return self.store.put(key, data, **options)


@pytest.fixture
def gate(tmp_path: Any) -> Gate:
    return Gate(open_store(str(tmp_path)))


def state(step: int) -> TrainingState:
    return TrainingState(step, {"w": np.full(1000, step)}, {})


def impatient(store: Any) -> Background:
    """Gives up after three failures and 20 ms."""
    return Background(store.url, max_failures=3, budget=0.01)


def test_save_returns_while_the_upload_goes_on(gate: Gate) -> None:
    gate.open.clear()
    with CheckpointWriter(gate, Fence.take(gate, {})) as checkpoints:
        checkpoints.save(state(1))
        gate.entered.wait()
        assert checkpoints.last_step is None
        assert restore(gate.store) is None
        gate.open.set()
        checkpoints.wait()
        assert checkpoints.last_step == 1
        assert checkpoints.last_duration is not None
        assert checkpoints.last_committed_at is not None


def test_the_next_save_waits_for_the_one_on_its_way_and_counts_the_time(gate: Gate) -> None:
    gate.open.clear()
    with CheckpointWriter(gate, Fence.take(gate, {})) as checkpoints:
        checkpoints.save(state(1))
        before = checkpoints.stalled_seconds
        threading.Timer(0.2, gate.open.set).start()
        checkpoints.save(state(2))
        assert checkpoints.last_step == 1
        assert checkpoints.stalled_seconds > before
        checkpoints.wait()
        assert checkpoints.last_step == 2
    restored = restore(gate.store)
    assert restored is not None
    assert (restored.arrays["w"] == 2).all()


def test_close_waits_for_the_save_on_its_way(gate: Gate) -> None:
    gate.open.clear()
    checkpoints = CheckpointWriter(gate, Fence.take(gate, {}))
    checkpoints.save(state(1))
    threading.Timer(0.1, gate.open.set).start()
    checkpoints.close()
    assert checkpoints.last_step == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "checkpoints"]


def test_a_failure_is_said_once_and_its_end_too(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with CheckpointWriter(gate, Fence.take(gate, {}), Background(gate.url, budget=0.6)) as checkpoints:
        gate.fails = TimeoutError("s3://bucket: no answer in 60 s")
        for step in (1, 2):
            checkpoints.save(state(step))
            while checkpoints.failures < step:
                time.sleep(0.001)
        gate.fails = None
        checkpoints.save(state(3), wait=True)
        assert (checkpoints.failures, checkpoints.last_step) == (0, 3)
    assert [r.levelno for r in caplog.records] == [logging.WARNING, logging.INFO]
    assert "step 1 failed; retrying: TimeoutError: s3://bucket: no answer in 60 s" in caplog.text
    assert "step 3 was saved after" in caplog.text


def test_many_failures_in_a_row_stop_the_run_with_the_reason(gate: Gate) -> None:
    with CheckpointWriter(gate, Fence.take(gate, {}), impatient(gate)) as checkpoints:
        gate.fails = PermissionError("s3://bucket/x: access denied")
        checkpoints.save(state(1))
        with pytest.raises(TransientError, match=r"consecutive writes failed.*access denied") as failure:
            checkpoints.wait()
        assert failure.value.exit_code == 75
        with pytest.raises(TransientError):
            checkpoints.save(state(2))


def test_the_last_save_of_a_run_is_tried_again(gate: Gate) -> None:
    class Twice(Gate):
        left = 2

        def put(self, key: str, data: Any, **options: Any) -> str:
            if "arrays" in key and self.left:
                self.left -= 1
                raise TimeoutError
            return super().put(key, data, **options)

    store = Twice(gate.store)
    with CheckpointWriter(store, Fence.take(store, {}), impatient(store)) as checkpoints:
        checkpoints.save(state(1), wait=True)
        assert checkpoints.last_step == 1


def test_the_last_save_of_a_run_that_cannot_be_made_is_an_error(gate: Gate) -> None:
    gate.fails = TimeoutError("no answer")
    with (
        CheckpointWriter(gate, Fence.take(gate, {}), impatient(gate)) as checkpoints,
        pytest.raises(TransientError, match="no answer"),
    ):
        checkpoints.save(state(1), wait=True)


def test_a_superseded_writer_hears_of_it_at_the_next_call_and_commits_nothing(gate: Gate) -> None:
    gate.open.clear()
    with CheckpointWriter(gate, Fence.take(gate, {})) as checkpoints:
        checkpoints.save(state(1))
        Fence.take(gate, {})
        gate.open.set()
        with pytest.raises(Superseded):
            checkpoints.wait()
        with pytest.raises(Superseded):
            checkpoints.save(state(2))
        assert checkpoints.last_step is None
    assert not [names for names in survey(gate.store).values() if "commit.json" in names]


def test_retention_that_fails_is_no_failed_save(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(key: str) -> None:
        raise PermissionError("delete is not allowed")

    gate.delete = refuse  # type: ignore[attr-defined]
    with CheckpointWriter(gate, Fence.take(gate, {}), keep_last=1, read_age=0) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(state(step), wait=True)
        assert (checkpoints.failures, checkpoints.last_step) == (0, 3)
    assert "delete is not allowed" in caplog.text


def test_the_last_save_does_not_wait_for_a_removal(gate: Gate) -> None:
    removing, over = threading.Event(), threading.Event()

    def slow(key: str) -> None:
        removing.set()
        over.wait(10)

    gate.delete = slow  # type: ignore[attr-defined]
    with CheckpointWriter(gate, Fence.take(gate, {}), keep_last=1, read_age=0) as checkpoints:
        for step in (1, 2):
            checkpoints.save(state(step), wait=True)
        assert removing.wait(10)
        began = time.monotonic()
        checkpoints.save(state(3), wait=True)
        assert checkpoints.last_step == 3
        checkpoints.close()
        assert time.monotonic() - began < 5
        over.set()


MEMORY = """
import resource, sys
from collections.abc import Mapping
import numpy as np
from trainer.storage import open_store
from trainer.checkpoints.writer import CheckpointWriter
from trainer.runs.fence import Fence
from trainer.checkpoints.training_state import TrainingState

class Copies(Mapping):
    def __init__(self, arrays): self.arrays = arrays
    def __getitem__(self, name): return self.arrays[name].copy()
    def __iter__(self): return iter(self.arrays)
    def __len__(self): return len(self.arrays)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

size = 128 << 20
store = open_store(sys.argv[1])
fence = Fence.take(store, {})
before = peak()
arrays = {str(i): np.ones(size // 16, np.uint8) for i in range(16)}
if sys.argv[2] == "deferred":
    arrays = Copies(arrays)
with CheckpointWriter(store, fence, keep_last=1) as checkpoints:
    for step in (1, 2):
        checkpoints.save(TrainingState(step, arrays, {}))
print((peak() - before) / size)
"""


@pytest.mark.parametrize("kind", ["plain", "deferred"])
def test_memory_is_at_most_two_copies_of_the_state(tmp_path: Any, kind: str) -> None:
    command = [sys.executable, "-c", MEMORY, str(tmp_path), kind]
    copies = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert copies < 2.1
