"""The HDF5 library in the process of the tests."""

import json
from pathlib import Path
from typing import Any

import pytest

from trainer.preparation.hdf5 import child, parts, process, strips
from trainer.preparation.hdf5.file_datasets import Refused


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are whole crash nothing, so that each needs no process."""

    def ask(url: str, question: dict[str, Any], folder: Path) -> Any:
        try:
            answer = child.answer(json.loads(json.dumps(question)), folder)
        except Refused as error:
            answer = {"problem": str(error), "remedy": error.remedy, "convertible": error.convertible}
        return process.answer_of(url, json.dumps(answer).encode())

    monkeypatch.setattr(parts, "ask", ask)
    monkeypatch.setattr(strips, "ask", ask)
