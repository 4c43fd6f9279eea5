"""The command line in a process of its own, and a small dataset of images to use it on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

TRAIN = ["train", "--recipe", "digits"]


def trainer(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "trainer", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
    )


def refused(*arguments: str, code: int = 64, **environment: str) -> str:
    """The one line with which the trainer refuses."""
    done = trainer(*arguments, **environment)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if "error:" in line]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Three classes of four 8x8 images."""
    for label in ("cat", "cow", "dog"):
        for number in range(4):
            path = tmp_path / "images" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (number * 50, 0, 0)).save(path)
    return tmp_path / "images"


@pytest.fixture
def dataset(folders: Path, s3: str) -> str:
    assert trainer("prepare", str(folders), f"{s3}/data").returncode == 0
    return f"{s3}/data"


def training(dataset: str, run: str, *sets: str) -> list[str]:
    given = [f"data.url={dataset}", f"run.url={run}", "train.batch_size=3", "train.epochs=1", *sets]
    return [*TRAIN, *(word for value in given for word in ("--set", value))]
