"""The blocks of docs/python.md, in their order, and what they leave."""

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainer as package
from tests.commands import trainer
from tests.datasets import make_folders
from trainer.runs.history import read_history

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
BLOCK = re.compile(r"^```python(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder, in which the blocks were run."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("page")
        make_folders(folder / "photos", {"cat": 12, "cow": 12, "dog": 12}, (20, 24))
        patch.chdir(folder)
        patch.setattr(sys, "path", [*sys.path])
        yield folder
        for name in ("my_networks", "my_callbacks", "my_schedule"):
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def names(folder: Path) -> dict[str, Any]:
    """What the blocks have named."""
    names: dict[str, Any] = {}
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) > 12
    for file, code in blocks:
        if file:
            (folder / file).write_text(code)
        else:
            exec(compile(code, f"{PAGE.name}: {code.strip().splitlines()[0]}", "exec"), names)
    return names


def test_its_blocks_do_what_it_says(names: dict[str, Any], folder: Path):
    data = names["data"]
    assert data.classes == ("cat", "cow", "dog")
    assert data.rows == {"train": 18, "validation": 9, "test": 9}
    test = names["test"]
    assert (test.split, test.rows, sum(map(sum, test.confusion))) == ("test", 9, 9)
    assert test.accuracy == pytest.approx(test.document["top1"])
    predicted = names["predicted"]
    assert len(predicted) == len(list(predicted)) == 9
    assert predicted.accuracy == pytest.approx(test.accuracy)
    assert (folder / "runs/first/report/index.html").exists()
    assert names["done"][-1] == 1.0
    rates = [row["learning_rate"] for row in read_history((folder / "runs/halved/metrics.csv").read_bytes())]
    assert rates[1] == pytest.approx(rates[0] / 2)
    assert names["own"].epochs == 1
    assert (names["stopped"].epochs, names["stopped"].stopped_early) == (1, True)
    assert len(names["watch"].losses) == 2
    assert names["run"].epochs == 1
    assert len(names["run"].history) == 1


def test_few_images_have_their_names(names: dict[str, Any]):
    pixels = np.zeros((48, 64, 3), np.uint8)
    rows = list(
        package.predict(["photos/cat/0000.png", pixels, "none.png"], run=names["own"], progress=False)
    )
    assert [row.image for row in rows] == ["photos/cat/0000.png", "image 1"]
    errors = package.predict(["photos/cat/0000.png", "none.png"], run=names["own"], progress=False).errors
    assert list(errors) == ["none.png"]
    with pytest.raises(package.DataError, match="Name images that are there"):
        package.predict("none.png", run=names["own"])
    with pytest.raises(package.DataError, match="expected uint8"):
        package.predict(pixels / 255, run=names["own"])


def test_a_network_of_one_s_own_needs_no_file_after_the_run(names: dict[str, Any], folder: Path):
    """In commands of their own, with the best and the last weights."""
    (folder / "my_networks.py").rename(folder / "elsewhere.txt")
    try:
        for weights in ("best", "last"):
            done = trainer("evaluate", "runs/own", "--weights", weights, "--json")
            assert done.returncode == 0, done.stderr
        done = trainer("predict", "photos/cat/0000.png", "--run", "runs/own", "--json")
        assert done.returncode == 0, done.stderr
    finally:
        (folder / "elsewhere.txt").rename(folder / "my_networks.py")


def test_a_file_in_the_current_folder_is_found_by_every_command_and_rank(names: dict[str, Any], folder: Path):
    sets = ("data.url=cars-data", "run.url=runs/ranks", "model.name=my_networks:small", "train.epochs=1")
    callbacks = "train.callbacks=[{name: 'my_callbacks:StopBelow', options: {loss: 0.0}}]"
    words = [word for text in (*sets, "train.batch_size=4", callbacks) for word in ("--set", text)]
    program = [str(Path(sys.executable).with_name("trainer")), "train", *words]
    for arguments, printed in ((["--check"], ""), (["--ranks", "2"], "finished: 1 epoch")):
        done = subprocess.run([*program, *arguments], capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
        assert printed in done.stderr
    assert not logging.getLogger("trainer").handlers
