"""Several workers on one machine, and what happens when they are killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.inference.conftest import predicted, rows
from tests.trained import images
from trainer.inference import keys


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def test_workers_that_are_killed_leave_every_image_exactly_once(trained: str, tmp_path: Path) -> None:
    folder, out = images(tmp_path / "photos", 100, "a", "b", "c"), tmp_path / "out"
    command = [sys.executable, "-m", "trainer", "predict", "--run", trained, "--input", str(folder)]
    command += [
        "--output",
        str(out),
        "--workers",
        "2",
        "--set",
        "part_size=7",
        "--set",
        "batch_size=4",
        "--json",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    chance, kills = random.Random(1), 0
    while process.poll() is None:
        done = len(list(out.glob(f"{keys.PREDICTIONS}*")))
        if kills < 2 and done > 10 * kills + 1 and (workers := children(process.pid)):
            os.kill(chance.choice(workers), signal.SIGKILL)
            kills += 1
        time.sleep(0.01)
    output, log = process.communicate()
    assert process.returncode == 0, log
    assert kills
    assert 1 <= log.count("it is started again") <= kills
    found = [row["image"] for row in rows(out)]
    assert sorted(found) == sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    summary = json.loads(output)
    assert (summary["predicted"], summary["failed"], summary["parts"]) == (300, 0, 43)
    assert not (out / "claims").exists()

    alone = predicted(trained, folder, tmp_path / "alone")
    assert alone["classes"] == summary["classes"]
    together = {row["image"]: row["top"] for row in rows(out)}
    for row in rows(tmp_path / "alone"):
        other = together[row["image"]]
        assert [c["class_name"] for c in row["top"]] == [c["class_name"] for c in other]
        assert [c["probability"] for c in row["top"]] == pytest.approx(
            [c["probability"] for c in other], abs=2e-6
        )
