"""The command line in a process of its own or in this one, and a small dataset of images to use it on."""

import io
import logging
import os
import re
import subprocess
import sys
import termios
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import pytest
from PIL import Image

from trainer import interrupts, main

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


def here(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """A command in this process, which has imported TensorFlow; layers get the names of a new process."""
    if keras := sys.modules.get("keras"):
        keras.utils.clear_session()
    output, errors = io.StringIO(), io.StringIO()
    handler, root = logging.StreamHandler(errors), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        with redirect_stdout(output), redirect_stderr(errors):
            code = main.run(arguments)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert interrupts.exit_code() is None
    return subprocess.CompletedProcess(arguments, code, output.getvalue(), errors.getvalue())


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
    return _one_line(done, code)


def refused_here(*arguments: str, code: int = 64) -> str:
    """The same in this process."""
    return _one_line(here(*arguments), code)


def _one_line(done: "subprocess.CompletedProcess[str]", code: int) -> str:
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
    assert here("prepare", str(folders), f"{s3}/data", "--validation", "0.25").returncode == 0
    return f"{s3}/data"


def training(dataset: str, run: str, *sets: str) -> list[str]:
    given = [f"data.url={dataset}", f"run.url={run}", "train.batch_size=3", "train.epochs=1", *sets]
    return [*TRAIN, *(word for value in given for word in ("--set", value))]
