"""A rank that the kernel killed for want of memory is named so where the cgroup counts it."""

import os
import signal
import sys
from pathlib import Path

import pytest

from trainer.gang.ranks.rank_process import Exit
from trainer.gang.ranks.rank_processes import Ranks
from trainer.machine.memory import oom_kills

VERSION_2 = ("memory.events", "low 0\nhigh 0\nmax 7\noom 1\noom_kill {}\noom_group_kill 0\n")
VERSION_1 = ("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n")


def write(cgroup: Path, version: tuple[str, str], kills: int) -> None:
    name, text = version
    (cgroup / name).parent.mkdir(exist_ok=True)
    (cgroup / name).write_text(text.format(kills))


@pytest.mark.fast
@pytest.mark.parametrize("version", [VERSION_2, VERSION_1])
def test_the_kernel_s_count(tmp_path: Path, version: tuple[str, str]) -> None:
    assert oom_kills(tmp_path) == 0
    write(tmp_path, version, 3)
    assert oom_kills(tmp_path) == 3


@pytest.mark.parametrize(
    ("number", "counted", "ended"),
    [
        (signal.SIGKILL, True, "rank 0 was killed by the kernel: the container ran out of memory ("),
        (signal.SIGKILL, False, "rank 0 was killed by SIGKILL"),
        (signal.SIGSEGV, True, "rank 0 was killed by SIGSEGV"),
    ],
)
def test_how_a_killed_rank_is_named(tmp_path: Path, number: int, counted: bool, ended: str) -> None:
    write(tmp_path, VERSION_2, 3)  # of earlier ranks
    environment = {**os.environ, "HOROVOD_LOCAL_RANK": "0"}
    ranks = Ranks([sys.executable, "-c", "import time; time.sleep(60)"], {0: environment}, tmp_path)
    try:
        if counted:
            write(tmp_path, VERSION_2, 4)
        os.kill(ranks.pids[0], number)
        while ranks.alive:
            ranks.watch()
        [killed] = ranks.exits
        assert isinstance(killed, Exit)
        assert str(killed).startswith(ended)
    finally:
        ranks.close()
