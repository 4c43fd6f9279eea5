"""Each form of HDF5 file is indexed, or converted by the command that the refusal names: row by row."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.preparation.hdf5.forms import FORMS, ROWS, Content, Form, content
from trainer import main
from trainer.dataset.index import open_dataset
from trainer.dataset.inspection.describe import inspect
from trainer.dataset.reading.reader import Reader

CONTENT = content()


def rows_of(url: str, split: str) -> tuple[np.ndarray, list[str], list[str]]:
    """A split's images, and the names of the rows and of their classes, as training reads them."""
    dataset = open_dataset(url)
    rows = dataset.split(split)
    batches = list(Reader(dataset, rows).batches_of(range(rows.rows), 10))
    labels = np.concatenate([batch.labels for batch in batches])
    images = np.concatenate([batch.images for batch in batches])
    return images, rows.names(np.arange(rows.rows)), [dataset.classes[label] for label in labels]


def check_split(form: Form, url: str, split: str, content: Content) -> None:
    images, names, labels = rows_of(url, split)
    expected, numbers = content.arrays[split]
    places = [int(name.rpartition(":")[2]) % ROWS for name in names]
    assert sorted(places) == list(range(ROWS))
    assert labels == [form.classes[numbers[place]] for place in places]
    if form.exact:
        np.testing.assert_array_equal(images, expected[places])
    else:
        assert np.abs(images.astype(int) - expected[places]).mean() < 20


def make(form: Form, folder: Path, capsys: Any) -> str:
    """The dataset's URL: the file's own where `trainer index` reads it in place."""
    source = form.write(folder, CONTENT)
    code = main.run(["index", source, *form.options])
    error = capsys.readouterr().err
    if form.in_place:
        assert code == 0, error
        return source
    assert code == 64
    command = re.search(r"Convert it: (trainer prepare .*)", error)
    assert command, error
    words = shlex.split(command[1])[1:]
    given = [] if "validation" in form.splits else ["--validation", "0"]
    assert main.run([*words, *given]) == 0, capsys.readouterr().err
    return words[2]


@pytest.mark.parametrize("form", FORMS, ids=[form.name for form in FORMS])
def test_every_form_is_read_as_it_was_written(form: Form, tmp_path: Path, capsys: Any) -> None:
    url = make(form, tmp_path, capsys)
    dataset = open_dataset(url)
    assert (dataset.classes, tuple(dataset.splits)) == (form.classes, form.splits)
    for split in form.splits:
        check_split(form, url, split, CONTENT)
    assert not inspect(url, read=True)["findings"]


TINY = "model={name: lab-cnn, options: {n_conv_layers: 1, n_filters: 1, n_dense_layers: 1, n_nodes: 2}}"
TRAINED = ("strings", "MATLAB, n last", "JPEG files")


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(form, marks=[] if form.name in TRAINED else [pytest.mark.long], id=form.name)
        for form in FORMS
    ],
)
def test_a_run_trains_on_each_form_and_predicts_its_classes(form: Form, tmp_path: Path, capsys: Any) -> None:
    url = make(form, tmp_path, capsys)
    run = str(tmp_path / "run")
    sets = [
        *(f"data.url={url}", f"run.url={run}", "train.epochs=1", "train.batch_size=12", TINY),
    ]
    words = [word for text in sets for word in ("--set", text)]
    assert main.run(["train", *words]) == 0, capsys.readouterr().err
    predicted = str(tmp_path / "predicted")
    job = ["predict", "--run", run, "--input", url, "--split", "train", "--output", predicted]
    assert main.run(job) == 0, capsys.readouterr().err
    lines = [
        json.loads(line)
        for path in sorted(Path(predicted).rglob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    assert len(lines) == ROWS
    assert {line["class_name"] for line in lines} <= set(form.classes)


@pytest.mark.long
@pytest.mark.parametrize("chunks", [None, (28, 28, 3, 1018)], ids=["contiguous", "chunks"])
def test_cars_with_n_as_the_last_axis_in_a_large_file(
    chunks: tuple[int, ...] | None, tmp_path: Path, capsys: Any
) -> None:
    """224 x 224 x 3 x 8 144, as the first source document describes its files."""
    side, rows, classes = 224, 8144, 196
    path, labels = tmp_path / "cars.h5", np.arange(rows) * classes // rows
    seeds = np.arange(rows, dtype=np.uint32)

    def plane(row: int) -> np.ndarray:
        """uint8 (side, 3, n): each value a function of its place and its image."""
        places = (np.arange(side * 3, dtype=np.uint32) + np.uint32(row * side * 3)).reshape(side, 3, 1)
        return ((places * np.uint32(2654435761) + seeds * np.uint32(40503)) >> np.uint32(24)).astype(np.uint8)

    with h5py.File(path, "w") as file:
        images = file.create_dataset("x", (side, side, 3, rows), np.uint8, chunks=chunks)
        step = chunks[0] if chunks else 1
        for row in range(0, side, step):
            images[row : row + step] = np.stack([plane(row + own) for own in range(step)])
        file["y"] = labels
    assert path.stat().st_size > 1_200_000_000
    assert main.run(["index", str(path)]) == 64
    command = re.search(r"Convert it: (trainer prepare .*)", capsys.readouterr().err)
    assert command
    prepared = trainer_with_memory(*shlex.split(command[1])[1:])
    url = shlex.split(command[1])[3]
    dataset = open_dataset(url)
    split = dataset.split("train")
    names = split.names(np.arange(split.rows))
    for batch in Reader(dataset, split).batches_of(range(0, split.rows, 1), 64):
        own = [int(names[row].rpartition(":")[2]) for row in batch.rows]
        np.testing.assert_array_equal(batch.labels, labels[own])
        for row in (0, side - 1):
            np.testing.assert_array_equal(batch.images[:, row], plane(row)[..., own].transpose(2, 0, 1))
        if batch.step > 20:
            break
    run = str(tmp_path / "run")
    sets = [f"data.url={url}", f"run.url={run}", "train.epochs=1", "train.batch_size=64", TINY]
    words = [word for text in sets for word in ("--set", text)]
    trained = trainer_with_memory("train", *words)
    assert (tmp_path / "run" / "finished.json").exists()
    print(f"peak memory: prepare {prepared >> 20} MiB, train {trained >> 20} MiB")
    assert prepared < 1 << 30


def trainer_with_memory(*arguments: str) -> int:
    """Runs a command; returns the most bytes that it, or a process that it started, had in memory."""
    code = (
        "import resource, sys; from trainer import main; code = main.run(sys.argv[1:]); "
        "print(code, max(resource.getrusage(who).ru_maxrss for who in "
        "(resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    exit_code, kib = done.stdout.split()[-2:]
    assert exit_code == "0", done.stderr
    return int(kib) << 10
