"""docs/transfer-learning.md: its files are configurations of networks that exist, and its commands work."""

import re
from pathlib import Path

import pytest

from tests.trained import images
from trainer import main
from trainer.config import load
from trainer.runs.run_document import read_finished
from trainer.storage import open_store
from trainer.training.run_plan import make_plan
from trainer.training.setup.build_network import footprint

PAGE = Path(__file__).parents[2] / "docs" / "transfer-learning.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
FILES = {text.splitlines()[0].removeprefix("# "): text for kind, text in BLOCKS if kind == "yaml"}
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
ROWS = {"fine-tune.yaml": 2, "rates.yaml": 1}
"""Files for networks of keras.applications -> their phases."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the page's commands are typed."""
    for name, classes in {"animals": ("cat", "cow", "dog"), "birds": ("owl", "robin")}.items():
        images(tmp_path / name, 30, *classes)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_its_commands_work_as_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        program, *words = command.split()
        assert program == "trainer"
        assert main.run(words) == 0, f"{command}: {capsys.readouterr().err}"
    assert "phase 2 of 2, 2 epochs: all layers, learning rate 0.0002" in capsys.readouterr().out
    finished = read_finished(open_store(f"{folder}/runs/birds"))
    assert finished
    assert finished.phases == (1, 2)


@pytest.mark.parametrize("name", ROWS)
def test_its_networks_have_the_layers_that_it_names(name: str, folder: Path) -> None:
    assert main.run(["prepare", "animals", "data/photos", "--image-size", "224"]) == 0
    plan = make_plan(load(Path(name)), 1)
    trained = footprint(plan).trained
    assert len(trained) == ROWS[name]
    assert sorted(trained) == list(trained), "each phase trains more"
    assert FILES.keys() == {*ROWS, "animals.yaml", "birds.yaml"}
