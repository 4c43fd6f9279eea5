"""The command line in a process of its own, and a small dataset of images to use it on."""

import os
import re
import subprocess
import sys
import termios
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

TRAIN = ["train", "--recipe", "digits"]


def trainer(*arguments: str, timeout: float = 120, **environment: str) -> "subprocess.CompletedProcess[str]":
    """`timeout` in seconds."""
    return subprocess.run(
        [sys.executable, "-m", "trainer", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=timeout,
    )


def on_a_terminal(
    *arguments: str,
    width: int = 80,
    program: Sequence[str] = (sys.executable, "-m", "trainer"),
    **environment: str,
) -> tuple[str, int]:
    """What a person sees of a command in a terminal so many columns wide, and its exit code."""
    terminal, inner = os.openpty()
    termios.tcsetwinsize(inner, (50, width))
    known = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    process = subprocess.Popen(
        [*program, *arguments],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        env={**known, "TERM": "xterm-256color", **environment},
    )
    os.close(inner)
    shown = b""
    with os.fdopen(terminal, "rb", buffering=0) as screen, suppress(OSError):  # EIO is the terminal's end
        while block := screen.read(65536):
            shown += block
    return shown.decode().replace("\r\n", "\n"), process.wait(timeout=60)


def without_codes(screen: str) -> str:
    """A screen's text without colours and movements of the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen)


def refused(*arguments: str, code: int = 64, **environment: str) -> str:
    """The one line with which the trainer refuses."""
    done = trainer(*arguments, **environment)  # type: ignore[arg-type]  # no name of a variable is timeout
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if "error:" in line]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Three classes of four 8x8 images."""
    for colour, label in enumerate(("cat", "cow", "dog")):
        for number in range(4):
            path = tmp_path / "images" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (number * 50, colour, 0)).save(path)
    return tmp_path / "images"


@pytest.fixture
def dataset(folders: Path, s3: str) -> str:
    assert trainer("prepare", str(folders), f"{s3}/data").returncode == 0
    return f"{s3}/data"


def training(dataset: str, run: str, *sets: str) -> list[str]:
    given = [f"data.url={dataset}", f"run.url={run}", "train.batch_size=3", "train.epochs=1", *sets]
    return [*TRAIN, *(word for value in given for word in ("--set", value))]
