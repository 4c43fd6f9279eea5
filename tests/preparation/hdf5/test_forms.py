"""Each form of HDF5 file is indexed, or converted by the command that the refusal names: row by row."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.preparation.hdf5.forms import FORMS, ROWS, Content, Form, content
from trainer import main
from trainer.dataset.inspection.describe import inspect
from trainer.dataset.open_dataset import open_dataset
from trainer.dataset.reading.reader import Reader
from trainer.errors import DataError
from trainer.preparation.hdf5.index_hdf5 import index_hdf5
from trainer.preparation.prepare import prepare

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


def test_numbered_pairs_are_one_split_in_their_order(tmp_path: Path, capsys: Any) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for number in (10, 9, 8):
            file[f"batch_{number}/data"] = CONTENT.x[8 * (number - 8) :][:8]
            file[f"batch_{number}/labels"] = CONTENT.y[8 * (number - 8) :][:8]
    assert main.run(["index", str(tmp_path / "a.h5")]) == 0, capsys.readouterr().err
    images, _, labels = rows_of(str(tmp_path / "a.h5"), "train")
    np.testing.assert_array_equal(images, CONTENT.x)
    assert labels == list(map(str, CONTENT.y))
    out = str(tmp_path / "out")
    assert main.run(["prepare", str(tmp_path / "a.h5"), out, "--validation", "0"]) == 0
    images, names, labels = rows_of(out, "train")
    for image, name, label in zip(images, names, labels, strict=True):
        _, dataset, row = name.split(":")
        place = 8 * (int(dataset.split("/")[0][6:]) - 8) + int(row)
        np.testing.assert_array_equal(image, CONTENT.x[place])
        assert label == str(CONTENT.y[place])


def fill(**arrays: Any) -> Callable[[Any], None]:
    def write(file: Any) -> None:
        for name, array in arrays.items():
            file[name.replace("__", "/")] = array

    return write


X, Y = np.zeros((6, 4, 4, 3), "u1"), np.array([0, 1, 2, 0, 1, 2])
ABC = np.array([b"a", b"b", b"c"])


def _unknown_filter(file: Any) -> None:
    file.create_dataset("x", X.shape, "u1", chunks=X.shape, compression=40000, allow_unknown_filter=True)
    file["y"] = Y


def _never_written(file: Any) -> None:
    file.create_dataset("x", X.shape, "u1", chunks=(2, 4, 4, 3), compression="lzf")[:2] = 1
    file["y"] = Y


def _links(file: Any) -> None:
    file["y"], file["x"] = Y, h5py.ExternalLink("/etc/passwd", "/x")


def _unknown_in_enum(file: Any) -> None:
    kind = h5py.enum_dtype({"a": 0, "b": 1}, basetype="i1")
    file["x"] = X
    file.create_dataset("y", data=Y.astype("i1"), dtype=kind)


def _categorical(file: Any) -> None:
    file["x"], file["y"] = X, Y.astype("u4")
    file["y"].attrs["MATLAB_class"] = np.bytes_("categorical")


def _not_images(file: Any) -> None:
    rows = file.create_dataset("x", (6,), h5py.vlen_dtype(np.uint8))
    for row in range(6):
        rows[row] = np.arange(10)
    file["y"] = Y


CONTRADICTIONS = {
    "a label beyond the classes": (fill(x=X, y=Y, classes=ABC[:2]), "row 2 has label 2; with 2 classes"),
    "a text beyond the classes": (fill(x=X, y=ABC[Y], classes=ABC[:2]), "row 2 is 'c', which is not among"),
    "a class twice": (fill(x=X, y=Y, classes=ABC[[0, 0, 1]]), "'a' is there 2 times.*--classes none"),
    "classes that may be labels": (
        fill(x=X, y=Y, classes=[2, 1, 0]),
        "the labels may be the classes 2, 1, 0",
    ),
    "a row without a label": (fill(x=X, y=np.array([b"a", b"", b"b"] * 2)), "row 1 has none"),
    "two pairs": (
        fill(low__x=X, low__y=Y, high__x=X, high__y=Y),
        "expected one pair .*high/x with high/y or low/x with low/y",
    ),
    "an enum without the value": (_unknown_in_enum, "y: row 2 is 2, which its enum does not name"),
    "MATLAB's own class": (_categorical, "MATLAB's class categorical, which MATLAB alone reads"),
    "a link into another file": (_links, "found no images .*links into other files, or to nothing: x"),
    "a filter that is not here": (_unknown_filter, r"x: compressed by .*\(40000\), which h5py does not have"),
    "chunks that were never written": (_never_written, "x: some of its chunks were never written"),
    "rows that are not images": (_not_images, "x: expected numbers or files of images, row 0 begins with"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
@pytest.mark.usefixtures("in_this_process")
def test_what_contradicts_itself_is_one_error_of_both_commands(name: str, tmp_path: Path) -> None:
    write, said = CONTRADICTIONS[name]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write(file)
    commands: tuple[Callable[..., object], ...] = (index_hdf5, prepare)
    for command in commands:
        with pytest.raises(DataError, match=said):
            command(str(tmp_path / "a.h5"), str(tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


@pytest.mark.usefixtures("in_this_process")
def test_texts_and_numbers_are_not_one_dataset(tmp_path: Path) -> None:
    for name, labels in (("train", ABC[Y]), ("test", Y)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            fill(x=X, y=labels)(file)
    with pytest.raises(DataError, match="its labels are texts, and numbers in"):
        index_hdf5(str(tmp_path))


@pytest.mark.usefixtures("in_this_process")
def test_files_of_labels_alone_are_one_error(tmp_path: Path) -> None:
    for name in ("train_y", "test_y"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["y"] = Y
    commands: tuple[Callable[..., object], ...] = (index_hdf5, prepare)
    for command in commands:
        with pytest.raises(DataError, match="found no images with labels"):
            command(str(tmp_path), str(tmp_path) + "-out")


def test_images_of_two_sizes_are_made_one_by_the_command_that_is_named(tmp_path: Path, capsys: Any) -> None:
    draw = np.random.default_rng(0)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for split, side in (("train", 8), ("test", 4)):
            file[f"x_{split}"] = draw.integers(0, 256, (6, side, side, 3), np.uint8)
            file[f"y_{split}"] = Y
    assert main.run(["index", str(tmp_path / "a.h5"), "--classes", "none"]) == 64
    command = re.search(r"make them one size: (trainer prepare .*)", capsys.readouterr().err)
    assert command
    assert main.run([*shlex.split(command[1])[1:], "--validation", "0"]) == 0
    assert open_dataset(shlex.split(command[1])[3]).image_shape in ((8, 8, 3), (4, 4, 3))


def test_a_row_out_of_range_is_a_bad_image_with_its_name(tmp_path: Path, capsys: Any) -> None:
    values = np.random.default_rng(0).random((600, 4, 4, 3)).astype("f4")
    values[400, 1, 2, 0] = np.nan
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=values, compression="lzf")
        file["y"] = np.arange(600) % 2
    assert main.run(["prepare", str(tmp_path / "a.h5"), str(tmp_path / "out")]) == 64
    assert "row 400 has the value nan, expected 0 to 1" in capsys.readouterr().err
    assert main.run(["prepare", str(tmp_path / "a.h5"), str(tmp_path / "out"), "--on-bad", "skip"]) == 0


def test_a_damaged_chunk_is_one_error_of_prepare(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        images = file.create_dataset(
            "x", data=CONTENT.x.repeat(40, 0), chunks=(4, 12, 20, 3), compression="gzip", scaleoffset=0
        )
        file["y"] = CONTENT.y.repeat(40)
        damaged = images.id.get_chunk_info(33).byte_offset
    with path.open("r+b") as opened:
        opened.seek(damaged)
        opened.write(b"\xff" * 64)
    assert main.run(["prepare", str(path), str(tmp_path / "out"), "--on-bad", "skip"]) == 64
    (line,) = capsys.readouterr().err.splitlines()
    assert "a.h5: not an HDF5 file, or a damaged one" in line
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


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
