"""Prediction jobs in this process."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trainer.errors import EXIT_INVALID, TrainerError
from trainer.inference import job
from trainer.storage import open_store


def predicted(run: str, source: str | Path, output: str | Path, **more: Any) -> dict[str, Any]:
    """The summary of a job in this process."""
    given = {"run": run, "input": str(source), "output": str(output), **more}
    summary = job.main(None, given, ())
    assert summary is not None
    return dict(summary)


def invalid(run: str, source: str | Path, output: str | Path, **more: Any) -> str:
    """What is said of a job that cannot be done."""
    with pytest.raises(TrainerError) as error:
        predicted(run, source, output, **more)
    assert error.value.exit_code == EXIT_INVALID
    return str(error.value)


def rows(output: str | Path) -> Iterator[dict[str, Any]]:
    """Every row of all predictions."""
    store = open_store(str(output))
    for info in store.list("predictions-"):
        yield from (json.loads(line) for line in store.get(info.key).splitlines())
