"""One trained run for all tests of what comes after training, and images for it."""

import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.commands import here, training

CLASSES = ("cat", "cow", "dog")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a run that was trained on 8x8 images of three classes."""
    root = tmp_path_factory.mktemp("trained")
    images(root / "images", 4, *CLASSES)
    words = ["prepare", str(root / "images"), f"{root}/data", "--validation", "0.25"]
    assert here(*words).returncode == 0
    done = here(*training(f"{root}/data", f"{root}/run"))
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


def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """`trainer` in a shell is the program of this interpreter, and of this code."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
