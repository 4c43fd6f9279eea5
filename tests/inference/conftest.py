"""One trained run for all tests of prediction, and images for it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.commands import trainer, training
from trainer.errors import EXIT_INVALID, TrainerError
from trainer.inference import job
from trainer.storage import open_store

CLASSES = ("cat", "cow", "dog")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a run that was trained on 8x8 images of three classes."""
    root = tmp_path_factory.mktemp("trained")
    images(root / "images", 4, *CLASSES)
    assert trainer("prepare", str(root / "images"), f"{root}/data").returncode == 0
    done = trainer(*training(f"{root}/data", f"{root}/run"))
    assert done.returncode == 0, done.stderr
    return f"{root}/run"


def images(folder: Path, count: int, *below: str) -> Path:
    """8x8 images, so many in each folder below."""
    for colour, name in enumerate(below):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixel = (number * 50 % 256, number // 5 % 256, colour)
            Image.new("RGB", (8, 8), pixel).save(folder / name / f"{number}.png")
    return folder


def predicted(run: str, source: str | Path, output: str | Path, **more: Any) -> dict[str, Any]:
    """The summary of a job in this process."""
    given = {"run": run, "input": str(source), "output": str(output), **more}
    summary = job.main(None, given, ())
    assert summary is not None
    return summary


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
