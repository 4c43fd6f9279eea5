"""An exact run whose ranks die and change in number all the time ends as one that nothing happened to."""

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.gang.gangs import alive
from tests.run_processes import Runs

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(7200)]

KILLS, WORLDS = 20, (4, 2, 3, 4)
RUN: dict[str, Any] = {
    "model": {
        "name": "lab-cnn",
        "options": {"n_filters": 4, "n_dense_layers": 1, "n_nodes": 8, "use_dropout": True},
        "batch_norm": "grouped",
    },
    "train": {
        "exact": True,
        "epochs": 30,
        "batch_size": 48,
        "lanes": 16,
        "micro_batch": 2,
        "optimizer": {"name": "adam", "learning_rate": 0.01},
    },
    "run": {"checkpoint": {"every": "10 steps"}},
}


def files(folder: Path) -> dict[str, str]:
    names = ("metrics.csv", "weights/last.weights.h5", "weights/best.weights.h5")
    return {name: sha256((folder / "run" / name).read_bytes()).hexdigest() for name in names}


def rows_of_steps(folder: Path) -> dict[int, Counter[str]]:
    """The rows of each step that was finished: of a start in which every rank began that step.

    A step that several starts began has the same rows in each of them.
    """
    begun: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for path in folder.glob("rows-*"):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            begun.setdefault((record["step"], record["start"]), []).append(record)
    found: dict[int, Counter[str]] = {}
    for (step, _), records in begun.items():
        if len(records) == records[0]["ranks"]:
            rows = Counter(row for record in records for row in record["rows"])
            assert found.setdefault(step, rows) == rows
    return found


def steps(folder: Path) -> int:
    return max((len(path.read_text().split()) for path in folder.glob("digests-*")), default=0)


def wait_for(process: "subprocess.Popen[str]", folder: Path, condition: Callable[[], bool]) -> None:
    while not condition():
        assert process.poll() is None, (folder / "log").read_text()
        time.sleep(0.01)


def kill_one(process: "subprocess.Popen[str]", folder: Path, rank: int, moment: float) -> int:
    """Kills a rank some seconds after the next step, and waits for the next one -> the last step before.

    The others may have other numbers until it is replaced.
    """
    before = steps(folder)
    wait_for(process, folder, lambda: steps(folder) > before)
    time.sleep(moment)
    path = folder / f"pid-{rank}"
    wait_for(process, folder, lambda: path.exists() and alive(int(path.read_text() or 0)))
    pid = int(path.read_text())
    os.kill(pid, signal.SIGKILL)
    last = steps(folder)
    wait_for(process, folder, lambda: int(path.read_text() or pid) != pid)
    return last


def test_twenty_kills_and_four_numbers_of_ranks(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, say: Callable[[str], None]
) -> None:
    """4, 2, 3 and 4 ranks; at random moments one of them is killed, and at last all are asked to leave."""
    monkeypatch.setenv("RECORD_ROWS", "1")
    undisturbed = runs.finish(runs.config("undisturbed", **RUN), 2)
    config = runs.config("killed", **RUN)
    folder, drawn = config.parent, random.Random(11)
    killed: list[tuple[int, int, int]] = []
    for ranks in WORLDS:
        for path in folder.glob("pid-*"):
            path.unlink()
        process = runs.start(config, ranks, log=folder / "log")
        for _ in range(KILLS // len(WORLDS)):
            rank = drawn.randrange(ranks)
            last = kill_one(process, folder, rank, drawn.random() * 0.5)
            killed.append((ranks, rank, last))
        if len(killed) < KILLS:
            process.send_signal(signal.SIGTERM)
        assert process.wait() == (75 if len(killed) < KILLS else 0), (folder / "log").read_text()
    say(f"(ranks, killed rank, after step): {killed}")
    assert len(killed) == KILLS
    assert files(folder) == files(undisturbed)
    mine, theirs = rows_of_steps(folder), rows_of_steps(undisturbed)
    assert sorted(theirs) == list(range(len(theirs)))
    assert mine == theirs, "the same rows in each step"
    total: Counter[str] = sum(theirs.values(), Counter())
    say(f"{len(theirs)} steps, {sum(total.values())} rows of {len(total)} ids, each as often in both")
    say(f"SHA-256 of both runs: {files(folder)}")
