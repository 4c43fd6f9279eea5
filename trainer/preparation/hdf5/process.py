"""The HDF5 library in a process of its own, with limits of memory and time."""

import json
from pathlib import Path
from typing import Any

from trainer.errors import DataError
from trainer.machine import sandbox
from trainer.machine.sandbox import ProcessFailed, ProcessTimedOut, SandboxLimits
from trainer.preparation.hdf5 import child

CHILD = child.__name__
CHILD_SECONDS = 900.0
_REMEDY = "Copy the file again, or make a dataset of its images: trainer prepare"


class NotInPlace(DataError):
    """A file that is not read where it lies, and that `trainer prepare` converts."""


def ask(url: str, question: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The answer of `child.answer`, whose arrays are in `folder` then. Raises DataError.

    `question` may have limits of its own, `seconds` and `cpu_seconds`.
    """
    seconds = question.get("seconds", CHILD_SECONDS)
    limits = SandboxLimits(seconds, question.get("cpu_seconds", child.CPU_SECONDS), child.MEMORY_BYTES)
    try:
        answer = sandbox.ask(CHILD, [str(folder)], data=json.dumps(question).encode(), limits=limits)
    except ProcessTimedOut as error:
        raise DataError(f"{url}: reading it {error}", _REMEDY) from None
    except ProcessFailed as error:
        raise DataError(f"{url}: a damaged HDF5 file (the HDF5 library {error})", _REMEDY) from None
    except DataError as error:
        raise DataError(f"{url}: {error.problem}", error.remedy) from None
    return answer_of(url, answer)


def answer_of(url: str, output: bytes) -> dict[str, Any]:
    """What the child wrote. Raises DataError, NotInPlace where `trainer prepare` reads the file."""
    answer: dict[str, Any] = json.loads(output)
    if "problem" in answer:
        refused = NotInPlace if answer["convertible"] else DataError
        raise refused(f"{url}: {answer['problem']}", answer["remedy"])
    return answer
