"""A rank that the kernel killed for want of memory is named so."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainer.gang.ranks import rank_processes
from trainer.gang.ranks.rank_processes import Exit, Ranks
from trainer.machine.memory import oom_kills


@pytest.mark.parametrize(
    ("file", "text", "kills"),
    [
        ("memory.events", "low 0\nhigh 0\nmax 9\noom 2\noom_kill 3\noom_group_kill 0\n", 3),
        ("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", 1),
        ("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n", None),
        ("memory.stat", "anon 1\n", None),
    ],
)
def test_the_container_counts_them(tmp_path: Path, file: str, text: str, kills: int | None):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    assert oom_kills(tmp_path) == kills


@pytest.mark.parametrize(("counts", "named"), [([4, 5], True), ([4, 4], False), ([None, None], False)])
def test_a_killed_rank_was_out_of_memory_if_the_count_has_grown(
    counts: list[int | None], named: bool, monkeypatch: pytest.MonkeyPatch
):
    answers: Iterator[int | None] = iter(counts)
    monkeypatch.setattr(rank_processes, "oom_kills", lambda: next(answers))
    ranks = Ranks([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], {0: {}})
    try:
        while ranks.alive:
            ranks.watch()
    finally:
        ranks.close()
    (ended,) = ranks.exits
    assert ended == Exit(0, -signal.SIGKILL, asked=False, out_of_memory=named)
    assert ("the container ran out of memory; raise resources.limits.memory" in str(ended)) is named
