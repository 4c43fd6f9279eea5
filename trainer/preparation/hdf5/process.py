"""The HDF5 library in a process of its own, with limits of memory and time."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from trainer.errors import DataError
from trainer.preparation.hdf5 import child

CHILD = child.__name__
CHILD_SECONDS = 900.0
_REMEDY = "Copy the file again, or make a dataset of its images: trainer prepare"


class NotInPlace(DataError):
    """A file that is not read where it lies, and that `trainer prepare` converts."""


def ask(url: str, question: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The answer of `child.answer`, whose arrays are in `folder` then. Raises DataError.

    `question` may have limits of its own, `seconds` and `cpu_seconds`."""
    command = [sys.executable, "-m", CHILD, str(folder)]
    seconds = question.get("seconds", CHILD_SECONDS)
    try:
        done = subprocess.run(
            command, input=json.dumps(question).encode(), capture_output=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"{url}: reading it did not end in {seconds:.0f} s", _REMEDY) from None
    return answer_of(url, done.returncode, done.stdout)


def answer_of(url: str, code: int, output: bytes) -> dict[str, Any]:
    """What a process that ended with `code` wrote. Raises DataError."""
    try:
        answer: dict[str, Any] = json.loads(output)
    except ValueError:
        why = signal.Signals(-code).name if code < 0 else f"code {code}"
        raise DataError(f"{url}: a damaged HDF5 file (the HDF5 library ended with {why})", _REMEDY) from None
    if "problem" in answer:
        refused = NotInPlace if answer.get("convertible") else DataError
        raise refused(f"{url}: {answer['problem']}", answer["remedy"])
    return answer
