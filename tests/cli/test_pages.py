"""What commands print for a person: aligned, within the terminal's width, in words and units."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from tests.commands import on_a_terminal, trainer, without_codes
from tests.documents import assert_document
from trainer.cli.app import app
from trainer.cli.pages.runs import print_evaluation, print_runs
from trainer.dataset.inspection.describe import DatasetDescription
from trainer.output.table import print_facts, print_table
from trainer.output.units import shape, size, span
from trainer.preparation.prepare import prepare
from trainer.preparation.prepared import PreparedDataset
from trainer.runs.documents.evaluation_values import EvaluationDocument
from trainer.runs.find_runs import ListedRun
from trainer.runs.run_document import Reached

Screen = Callable[..., str]

RUNS = [
    ListedRun(
        *("cars-1", "s3://b/runs/cars-1", "resnet50", "s3://b/cars", "finished", 30_000, 9, 9),
        Reached(7, {"val_accuracy": 0.5541, "test_accuracy": 0.5415}),
        Reached(9, {"val_accuracy": 0.5501, "test_accuracy": 0.536}),
        0.0,
    ),
    ListedRun(
        *("try", "s3://b/runs/try", "resnet50", "s3://b/cars", "begun", 0, 0, 90, None, None, 0.0),
    ),
]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dataset of 196 classes with long names."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(196):
        label = folder / "images" / f"Make {number:03d} Convertible Sedan 2012"
        label.mkdir(parents=True)
        for image in range(4 + number % 3):
            Image.new("RGB", (4, 4), (number, image, 0)).save(label / f"{image}.png")
    return prepare(str(folder / "images"), f"file://{folder}/dataset").url


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Screen:
    def command(*arguments: str) -> str:
        app(list(arguments), standalone_mode=False)
        return capsys.readouterr().out

    return command


def test_196_classes_fit_on_a_screen(many: str, printed: Screen):
    screen = printed("inspect", many).splitlines()
    assert len(screen) < 30
    assert max(map(len, screen)) <= 80
    assert "image    4 x 4 x 3, raw" in screen
    listed = printed("inspect", many, "--classes").splitlines()
    assert sum(line.startswith("Make ") for line in listed) == 196
    assert len({len(line) for line in listed if line.startswith("Make ")}) == 1, "aligned"


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_shows_whole_lines_of_its_width(many: str, width: int):
    screen, code = on_a_terminal("inspect", many, width=width)
    screen = without_codes(screen)
    assert code == 0
    assert "196" in screen
    assert "…" not in screen
    lines = [line for line in screen.splitlines() if not line.startswith("next: ")]  # a command stays whole
    assert max(map(len, lines)) <= width


def test_json_has_every_class(many: str, printed: Screen):
    found = json.loads(printed("inspect", many, "--json", "--read"))
    assert_document(found, DatasetDescription)
    assert len(found["classes"]) == 196


def test_runs_have_a_header_and_their_best_weights(capsys: pytest.CaptureFixture[str]):
    print_runs(RUNS)
    header, finished, begun = (line.split() for line in capsys.readouterr().out.splitlines())
    assert header == ["RUN", "STATE", "EPOCH", "STEP", "BEST", "VAL", "ACC", "TEST", "ACC", "CHANGED"]
    assert finished[:7] == ["cars-1", "finished", "9/9", "30,000", "7", "0.5541", "0.5415"]
    assert begun[:7] == ["try", "begun", "0/90", "0", "-", "-", "-"]


def test_what_is_prepared_is_said_with_what_may_come_next(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    app(["prepare", str(folders), f"{tmp_path}/my data"], standalone_mode=False)
    said = capsys.readouterr()
    assert "classes     3: cat, cow, dog" in said.out.splitlines()
    assert "image       8 x 8 x 3" in said.out.splitlines()
    assert said.err == (
        f"next: trainer train --set data.url='file://{tmp_path}/my data'"
        f" --set run.url='file://{tmp_path}/my data-run'\n"
    )
    app(["prepare", str(folders), f"{tmp_path}/again", "--json"], standalone_mode=False)
    said = capsys.readouterr()
    assert_document(json.loads(said.out), PreparedDataset)
    assert (json.loads(said.out)["image_shape"], said.err) == ([8, 8, 3], "")


def test_names_of_anybody_s_files_do_nothing_to_the_terminal(capsys: pytest.CaptureFixture[str]):
    print_facts([("class", "a\x1b[2Jb\nc [bold]d")])
    assert (
        capsys.readouterr().out == "class  a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}c [bold]d\n"
    )


def test_classes_keep_their_names_and_a_confusion_matrix_is_narrow(capsys: pytest.CaptureFixture[str]):
    names = [f"Make {number} crew cab 2012" for number in range(12)]
    scores = {"rows": 1, "precision": 1.0, "recall": 1.0, "f1": 1.0}
    evaluation: dict[str, Any] = {
        "run": "run",
        "weights": "best",
        "dataset": {"url": "data", "split": "test"},
        "rows": 1,
        "loss": 0.0,
        "top1": 1.0,
        "top5": None,
        "calibration_error": 0.0,
        "sensitivity": None,
        "classes": [{"class": name, **scores} for name in names],
        "confusion": [[(number * 10 + column) % 100 for column in range(12)] for number in range(12)],
        "warnings": [],
    }
    print_evaluation(cast(EvaluationDocument, evaluation))
    screen = capsys.readouterr().out.splitlines()
    assert "dataset            data, test, 1 image" in screen
    assert screen[-13].split() == ["CLASS", *map(str, range(1, 13))]
    assert screen[-1].split() == ["12", *names[11].split(), *map(str, range(10, 22))]
    assert max(map(len, screen)) <= 80


def test_columns_of_wide_characters_are_aligned(capsys: pytest.CaptureFixture[str]):
    print_table(("class", "images"), [("丰田", "5"), ("Audi", "12")], right=(1,))
    assert capsys.readouterr().out == "CLASS  IMAGES\n丰田        5\nAudi       12\n"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (64 << 20, "64.0 MiB"),
        (300 << 30, "300 GiB"),
        (1 << 62, "4194304 TiB"),
    ],
)
def test_sizes(count: int, text: str):
    assert size(count) == text


def test_shapes_and_spans():
    assert shape((224, 224, 3)) == "224 x 224 x 3"
    assert [span(s) for s in (-1, 42, 720, 11100, 187200)] == [
        "0 s",
        "42 s",
        "12 min",
        "3 h 5 min",
        "2 d 4 h",
    ]


def test_a_bar_is_for_terminals_alone(folders: Path, tmp_path: Path):
    """Neither in a pipe, nor where FORCE_COLOR makes other programs believe in a terminal."""
    shown, code = on_a_terminal("prepare", str(folders), f"{tmp_path}/one")
    assert (code, "12/12 images prepared" in without_codes(shown)) == (0, True)
    done = trainer("prepare", str(folders), f"{tmp_path}/two", FORCE_COLOR="1")
    assert "images prepared" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
