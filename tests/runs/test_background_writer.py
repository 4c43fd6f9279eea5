"""What a run writes comes in order and in the end, whatever fails on the way."""

import errno
import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from trainer.errors import TransientError
from trainer.runs.background_writer import CHECKPOINT, Background, Write
from trainer.runs.fence import Superseded


class Disk:
    """Where writes land in order; those of the keys in `failing` fail, all hang while it is not `open`.

    Those of "metrics" may wait.
    """

    def __init__(self, background: Background) -> None:
        self.background = background
        self.written: list[str] = []
        self.tries = 0
        self.failing: dict[str, Exception] = {}
        self.open = threading.Event()
        self.open.set()

    def submit(self, key: str, content: str) -> None:
        write = Write(content, key, lambda: self._write(key, content), may_wait=key == "metrics")
        self.background.submit(write)

    def _write(self, key: str, content: str) -> None:
        self.tries += 1
        self.open.wait()
        if key in self.failing:
            raise self.failing[key]
        self.written.append(content)

    def wait_for_tries(self, tries: int) -> None:
        while self.tries < tries:
            time.sleep(0.001)


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def make() -> Iterator[Callable[..., Disk]]:
    made: list[Background] = []

    def disk(budget: float = 0.3, max_failures: int = 3) -> Disk:
        made.append(Background("file:///run", max_failures=max_failures, budget=budget))
        return Disk(made[-1])

    yield disk
    for background in made:
        background.close()


def test_no_checkpoint_comes_before_what_it_says_is_published(make: Callable[..., Disk]):
    disk = make(budget=10)
    disk.failing["best"] = TimeoutError("no answer")
    disk.submit("best", "best of epoch 1")
    disk.submit(CHECKPOINT, "step 10")
    disk.wait_for_tries(3)
    assert disk.written == []
    disk.failing.clear()
    disk.background.wait()
    disk.background.check()
    assert disk.written == ["best of epoch 1", "step 10"]


def test_what_waits_gives_way_to_newer_content_of_its_key_but_not_over_a_checkpoint(
    make: Callable[..., Disk],
):
    disk = make()
    disk.open.clear()
    disk.submit("best", "best 1")
    disk.wait_for_tries(1)
    for number in (2, 3):
        disk.submit("best", f"best {number}")
        disk.submit("metrics", f"metrics {number}")
    disk.submit(CHECKPOINT, "step 30")
    for number in (4, 5):
        disk.submit("best", f"best {number}")
    disk.open.set()
    disk.background.wait()
    assert disk.written == ["best 1", "best 3", "step 30", "best 5", "metrics 3"]


def test_a_full_disk_that_is_freed_again_is_said_once(
    make: Callable[..., Disk], caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    disk = make(budget=10)
    disk.failing["metrics.csv"] = FULL
    disk.submit("metrics.csv", "metrics.csv")
    disk.wait_for_tries(3)
    disk.failing.clear()
    disk.background.wait()
    disk.background.check()
    first, last = caplog.messages
    assert first == "metrics.csv failed; retrying: OSError: [Errno 28] No space left on device"
    assert last.startswith("metrics.csv was saved after ")


def test_a_disk_that_stays_full_is_a_passing_cause_with_a_remedy(make: Callable[..., Disk]):
    disk = make(budget=0.05)
    disk.failing["metrics.csv"] = FULL
    began = time.monotonic()
    disk.submit("metrics.csv", "metrics.csv")
    disk.submit(CHECKPOINT, "step 1")
    disk.background.wait()
    assert time.monotonic() - began >= 2 * 0.05, "for less time than a store may be away"
    with pytest.raises(TransientError, match=r"No space left.*Free some space.*restart the run") as stopped:
        disk.background.check()
    assert stopped.value.exit_code == 75
    assert disk.written == []


@pytest.mark.parametrize("failing", ["best", "metrics", CHECKPOINT])
def test_what_can_be_written_does_not_hide_what_cannot(make: Callable[..., Disk], failing: str):
    disk = make(budget=0.05)
    disk.failing[failing] = PermissionError("access denied")
    for number in range(200):
        disk.background.withdraw(CHECKPOINT)
        for key in ("best", "metrics", CHECKPOINT):
            disk.submit(key, f"{key} {number}")
        time.sleep(0.005)
    with pytest.raises(TransientError, match="access denied"):
        disk.background.check()


def test_a_save_is_not_held_up_by_what_fails_before_it(make: Callable[..., Disk]):
    disk = make(budget=6)
    disk.failing["best"] = FULL
    disk.submit("best", "best of epoch 1")
    disk.submit(CHECKPOINT, "step 1")
    disk.wait_for_tries(1)
    disk.background.withdraw(CHECKPOINT)
    disk.submit(CHECKPOINT, "step 2")
    disk.failing.clear()
    disk.background.wait()
    assert disk.written == ["best of epoch 1", "step 2"]


def test_a_save_is_not_held_up_by_what_nothing_relies_on(make: Callable[..., Disk]):
    disk = make(budget=0.3)
    disk.failing["metrics"] = FULL
    disk.submit("metrics", "metrics")
    disk.wait_for_tries(1)
    save = Write("step 1", CHECKPOINT, lambda: disk.written.append("step 1"))
    disk.background.submit(save)
    disk.background.wait(save)
    assert disk.written == ["step 1"]
    assert disk.background.failures, "metrics still wait"
    disk.background.check()


def test_superseded_while_a_publication_waits_nothing_more_is_written(make: Callable[..., Disk]):
    disk = make()
    disk.failing["best"] = Superseded("token 1 was superseded by token 2")
    disk.submit("best", "best of epoch 1")
    disk.submit("metrics", "metrics")
    disk.background.wait()
    disk.submit("metrics", "metrics")
    disk.background.wait()
    with pytest.raises(Superseded):
        disk.background.check()
    assert disk.written == []


def test_the_end_of_a_run_tries_once_more_and_waits_for_no_store(make: Callable[..., Disk]):
    disk = make(budget=600)
    disk.failing["best"] = FULL
    disk.submit("best", "best of epoch 1")
    disk.submit(CHECKPOINT, "step 1")
    disk.wait_for_tries(1)
    tries, began = disk.tries, time.monotonic()
    disk.background.close()
    assert time.monotonic() - began < 5
    assert disk.tries <= tries + 1
