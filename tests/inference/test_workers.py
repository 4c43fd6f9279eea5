"""Several workers on one machine, and what happens when they are killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.inference.conftest import predicted, rows
from tests.trained import images
from trainer.inference import job, keys

pytestmark = pytest.mark.slow


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def test_workers_that_are_killed_leave_every_image_exactly_once(trained: str, tmp_path: Path) -> None:
    folder, out = images(tmp_path / "photos", 100, "a", "b", "c"), tmp_path / "out"
    summary = killed(trained, folder, out, workers=2, kills=1, part_size=7, least=1)
    assert (summary["predicted"], summary["failed"], summary["parts"]) == (300, 0, 43)

    alone = predicted(trained, folder, tmp_path / "alone")
    assert alone["classes"] == summary["classes"]
    together = {row["image"]: row["top"] for row in rows(out)}
    for row in rows(tmp_path / "alone"):
        other = together[row["image"]]
        assert [c["class_name"] for c in row["top"]] == [c["class_name"] for c in other]
        assert [c["probability"] for c in row["top"]] == pytest.approx(
            [c["probability"] for c in other], abs=2e-6
        )


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("count", "part_size"), [(10_000, 50), (100_000, 500)])
def test_four_workers_each_killed_five_times(
    count: int, part_size: int, trained: str, tmp_path: Path, say: Callable[[str], None]
) -> None:
    folder, out = images(tmp_path / "photos", count // 10, *"abcdefghij"), tmp_path / "out"
    began = time.monotonic()
    summary = killed(trained, folder, out, workers=4, kills=5, part_size=part_size, least=20)
    say(f"{count:,} images, 20 kills: {time.monotonic() - began:.0f} s")
    assert (summary["predicted"], summary["failed"]) == (count, 0)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    began = time.monotonic()
    assert predicted(trained, folder, out, part_size=part_size) == summary
    say(f"started again: {time.monotonic() - began:.1f} s")
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before


def killed(
    run: str, folder: Path, out: Path, *, workers: int, kills: int, part_size: int, least: int
) -> dict[str, Any]:
    """The summary of a job of which each worker gets SIGKILL so many times, at random moments."""
    command = [*(sys.executable, "-m", "trainer", "predict", "--run", run, "--input", str(folder))]
    command += ["--output", str(out), "--workers", str(workers), "--set", f"part_size={part_size}", "--json"]
    command += ["--set", "batch_size=1"]  # slow, so that there is time to kill
    parts = -(-sum(1 for _ in folder.rglob("*.png")) // part_size)
    log = out.with_suffix(".log")
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True)
        chance, left = random.Random(1), dict.fromkeys(range(1, workers + 1), kills)
        while process.poll() is None and any(left.values()):
            done = len(list(out.glob(f"{keys.PREDICTIONS}*")))
            share = 1 - sum(left.values()) / (workers * kills)
            living = {number: pid for pid in children(process.pid) if left.get(number := place(pid))}
            if done > share * parts and living:
                number = chance.choice(list(living))
                with suppress(ProcessLookupError):
                    os.kill(living[number], signal.SIGKILL)
                    left[number] -= 1
            time.sleep(chance.uniform(0, 0.1))
        output, _ = process.communicate()
    said = log.read_text()
    assert process.returncode == 0, said
    assert workers * kills - sum(left.values()) >= least, "the job was done before"
    assert said.count("restarting it") >= 1
    found = [row["image"] for row in rows(out)]
    assert sorted(found) == sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    assert not (out / "claims").exists()
    summary: dict[str, Any] = json.loads(output)
    return summary


def place(pid: int) -> int:
    """The number of a worker; 0 of a process that is none, or ended."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return 0
    name = f"{job.INDEX}=".encode()
    found = [word for word in environment if word.startswith(name)]
    return int(found[-1].removeprefix(name)) if found else 0
