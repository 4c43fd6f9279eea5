"""A pod that cannot train does not join, and says why."""

import ctypes
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from tests.gang.test_decisions import Table
from trainer.errors import ConfigError, TransientError
from trainer.gang.forming.policy import Policy
from trainer.gang.forming.seats import missing
from trainer.gang.health import watch
from trainer.gang.health.checks import (
    FREE_DISK_BYTES,
    PATIENCE_SECONDS,
    disk_problems,
    gpu_problems,
    health_check,
    store_problems,
)
from trainer.gang.health.watch import CHECKING, NO_ANSWER, Health
from trainer.gang.members import RunRanks, StopRanks
from trainer.machine.nvml import GpuMemory, gpu_memory
from trainer.storage import open_store

pytestmark = pytest.mark.fast
GIB = 1 << 30


@dataclass
class FakeNvml:
    """The functions of NVML that are called, with their conventions."""

    init: int = 0
    used: tuple[int, ...] = (0,)
    lost: int = -1
    shut: bool = False

    def nvmlInit_v2(self) -> int:
        return self.init

    def nvmlShutdown(self) -> int:
        self.shut = True
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: Any, handle: Any) -> int:
        handle._obj.value = 100 + index.value
        return 15 if index.value == self.lost else 0

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, handle: Any) -> int:
        return self.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(uuid.rpartition(b"-")[2])), handle)

    def nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> int:
        memory._obj.total, memory._obj.used = 80 * GIB, self.used[handle.value - 100]
        return 0


def test_the_memory_of_each_gpu_by_number_or_uuid() -> None:
    library = FakeNvml(used=(1, 20 * GIB))
    both = [GpuMemory("0", 1, 80 * GIB), GpuMemory("1", 20 * GIB, 80 * GIB)]
    assert gpu_memory(["0", "1"], library) == both
    assert gpu_memory(["GPU-1"], library) == [replace(both[1], name="GPU-1")]
    assert library.shut
    assert gpu_memory(["1"], FakeNvml(used=(0, 0), lost=1)) == [GpuMemory("1", error=15)]
    assert gpu_memory(["0"], FakeNvml(init=9)) == [GpuMemory("0", error=9)]


def test_without_nvml_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", Mock(side_effect=OSError))
    assert gpu_memory(["0"]) == []
    assert gpu_memory([]) == []


@pytest.mark.parametrize(
    ("gpu", "waited", "problems"),
    [
        (GpuMemory("0", GIB, 80 * GIB), 0.0, []),
        (GpuMemory("0", 20 * GIB, 80 * GIB), 0.0, ["another process uses 20.0 GiB of the 80.0 GiB of GPU 0"]),
        (GpuMemory("0", 20 * GIB, 80 * GIB), PATIENCE_SECONDS, []),
        (GpuMemory("1", error=15), 1e9, ["GPU 1 does not respond (NVML error 15)"]),
    ],
)
def test_gpus(gpu: GpuMemory, waited: float, problems: list[str]) -> None:
    assert list(gpu_problems([gpu], waited)) == problems


def test_disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = tmp_path / "cache" / "new"
    assert list(disk_problems([tmp_path, new])) == []
    [full] = disk_problems([new], needed=1 << 60)
    assert full.startswith(f"{new} has ")
    assert full.endswith("of free space, and 1048576 TiB are expected")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert list(disk_problems([new])) == [f"{new} cannot be written"]


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (FileNotFoundError("run.json"), []),
        (TransientError("s3://b/run: no answer within 60 s"), ["s3://b/run: no answer within 60 s"]),
        (ConfigError("s3://b/run: access denied", "Check it"), ["s3://b/run: access denied"]),
        (PermissionError(13, "Permission denied"), ["s3://b/run: [Errno 13] Permission denied"]),
    ],
)
def test_stores(error: Exception, problem: list[str]) -> None:
    store = Mock(url="s3://b/run", stat=Mock(side_effect=error))
    assert list(store_problems(store)) == problem


def test_all_of_them_at_once(tmp_path: Path) -> None:
    gone = [GpuMemory("0", error=15), GpuMemory("1", error=15)]
    check = health_check(open_store(str(tmp_path)), [tmp_path / "cache"], gpus=lambda: gone)
    assert check(0.0) == ("GPU 0 does not respond (NVML error 15); GPU 1 does not respond (NVML error 15)")
    assert FREE_DISK_BYTES > 0
    assert health_check(open_store(str(tmp_path)), gpus=list)(0.0) == ""


def health(check: Callable[[float], str], monkeypatch: pytest.MonkeyPatch) -> Health:
    monkeypatch.setattr(watch, "AGAIN_SECONDS", 0.0)
    made = Health(check)
    made.begin()
    return made


def wait(checked: Health) -> None:
    assert checked._thread
    checked._thread.join(10)


def test_a_pod_is_ready_after_its_check_and_checked_again_for_the_next_generation(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    problems = iter(["no GPU", "no GPU", "", "no disk"])
    goes = threading.Semaphore(0)

    def check(waited: float) -> str:
        goes.acquire()
        return next(problems)

    checked = health(check, monkeypatch)
    assert checked.problem() == CHECKING
    for expected in ("no GPU", "no GPU", ""):
        goes.release()
        wait(checked)
        assert checked.problem() == expected
    checked.begin()
    assert checked.problem() == CHECKING
    goes.release()
    wait(checked)
    assert checked.problem() == "no disk"
    goes.release()
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "not ready to train: no GPU",
        "not ready to train: no disk",
    ]


def test_what_does_not_answer_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    goes = threading.Event()
    monkeypatch.setattr(watch, "NO_ANSWER_SECONDS", -1.0)
    checked = health(lambda waited: "" if goes.wait(10) else "late", monkeypatch)
    assert checked.problem() == NO_ANSWER
    goes.set()
    wait(checked)
    assert checked.problem() == ""


def test_a_check_that_fails_or_that_nobody_wants_keeps_no_pod_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(waited: float) -> str:
        raise RuntimeError("bug")

    checked = health(check, monkeypatch)
    wait(checked)
    assert checked.problem() == ""
    unchecked = Health(None)
    unchecked.begin()
    assert unchecked.problem() == ""


def test_the_others_wait_for_it_with_its_reason_and_train_without_it_if_they_may() -> None:
    table = Table(3, Policy(wait=20))
    for index in range(3):
        table.say(index, problem="no GPU" if index == 1 else "")
    assert missing(table.gang, now=table.now, wanted=3) == {1: "is not ready: no GPU"}
    answers = []
    for _ in range(42):
        table.now += 0.5
        answers = table.all_say()
    assert [isinstance(answer, RunRanks) for answer in answers] == [True, False, True]
    assert isinstance(answers[1], StopRanks)
