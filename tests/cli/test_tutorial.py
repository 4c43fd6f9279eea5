"""docs/tutorial.md: its commands, its file and its Python work as they stand, and print what it shows.

With other photos, and with less work: a training gets LESS, and the file of the page fewer epochs.
"""

import contextlib
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.blocks import arguments, commands, fenced
from tests.cli.car_photos import drawn_photos
from tests.commands import here

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
LESS = ["data.image_size=16", "train.epochs=1", "model.options={width: 8, depth: 1}"]
FEWER = {"epochs: 3,": "epochs: 1,", "epochs: 7,": "epochs: 1,"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a reader types."""
    drawn_photos(tmp_path / "photos")
    shutil.copy(tmp_path / "photos/red car/0.jpg", tmp_path / "new-photo.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_leads_to_a_shared_model(folder: Path):
    shown = ""
    for block in fenced(PAGE.read_text()):
        if block.kind == "yaml":
            write(block.text)
        elif block.kind == "text":
            assert labels(block.text) <= labels(shown), f"{block.text}\nis not\n{shown}"
        else:
            shown = "".join(typed(block.text)) if block.kind == "sh" else run_python(block.text)
    assert "new-photo.jpg: " in shown
    for name in (
        *("cars-run/report/index.html", "cars-tuned/report/index.html", "comparison.html"),
        *("cars-run/weights/model.keras", "cars-run/weights/card.md", "cars-run/weights/classes.json"),
        "cars-predictions/summary.html",
    ):
        assert (folder / name).is_file(), name


def write(text: str) -> None:
    """The file that a block shows, named in its first line, with fewer epochs."""
    for old, new in FEWER.items():
        assert old in text
        text = text.replace(old, new)
    Path(text.splitlines()[0].removeprefix("# ")).write_text(text)


def typed(text: str) -> Iterator[str]:
    """What each command of a block prints, on both streams."""
    for words in commands(text, "trainer"):
        given = arguments(words)
        first = given[0] == "train" and "--config" not in given
        done = here(*given, *(word for text in LESS if first for word in ("--set", text)))
        assert done.returncode == 0, f"{words}: {done.stderr}"
        if ">" in words:
            Path(words[-1]).write_text(done.stdout)
        yield done.stdout + done.stderr


def run_python(code: str) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, PAGE.name, "exec"), {})
    return output.getvalue()


def labels(text: str) -> set[str]:
    """The first column of tables, but for names of classes and files, which have digits or dots here."""
    return set(re.findall(r"^([A-Za-z][A-Za-z ]*?) {2,}", text, re.MULTILINE))
