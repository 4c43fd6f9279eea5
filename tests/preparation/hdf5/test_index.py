"""HDF5 files of others are read as HDF5 reads them, without being converted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.preparation.hdf5.course_files import DTYPES, ROWS, Course, courses, write_course
from trainer import main
from trainer.dataset.open_dataset import open_dataset
from trainer.dataset.order import Order
from trainer.dataset.reading.reader import Reader
from trainer.errors import ConfigError, DataError
from trainer.preparation.hdf5.index_hdf5 import index_hdf5
from trainer.preparation.hdf5.parts import DatasetNames
from trainer.storage import open_store


def check_rows(url: str, course: Course, split: str = "train") -> None:
    """Every row in sequence, and as training takes them, in memory and in windows."""
    dataset = open_dataset(url)
    rows = dataset.split(split)
    assert rows.rows == ROWS
    for batch in Reader(dataset, rows).batches_of(range(ROWS), 20):
        np.testing.assert_array_equal(batch.images, course.images[batch.rows])
        np.testing.assert_array_equal(batch.labels, course.labels[batch.rows])
    for small in (0, 1 << 30):
        order = Order(rows.chunks["rows"], rows.row_bytes, 12, 6, 3, small_bytes=small, budget_bytes=20_000)
        seen: list[int] = []
        for batch in Reader(dataset, rows, order, range(6), budget_bytes=60_000).batches(0, 4):
            np.testing.assert_array_equal(batch.images, course.images[batch.rows])
            np.testing.assert_array_equal(batch.labels, course.labels[batch.rows])
            seen += batch.rows.tolist()
        assert len(set(seen)) == len(seen) == 48
    np.testing.assert_allclose(rows.mean, course.images.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(rows.std, course.images.std(axis=(0, 1, 2)))


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("dtypes", [None, pytest.param(tuple(DTYPES), marks=pytest.mark.long)])
def test_every_form_is_read_row_by_row(dtypes: tuple[str, ...] | None, tmp_path: Path) -> None:
    for number, course in enumerate(courses(tmp_path, dtypes)):
        target = str(tmp_path / str(number))
        made = index_hdf5(str(course.path), target, DatasetNames(shape=course.shape))
        assert made.rows == {"train": ROWS}, course.path
        assert made.classes == ("cat", "dog", "école", "x")
        check_rows(target, course)


def test_from_object_storage(s3: str, tmp_path: Path) -> None:
    course = write_course(tmp_path / "a.h5", "uint8", "HWC", "pieces", "(1, n)")
    store = open_store(f"{s3}/theirs")
    for key in ("x_train.h5", "x_test.h5"):
        store.put(key, course.path.read_bytes())
    made = index_hdf5(f"{s3}/theirs", f"{s3}/ours")
    assert made.rows == {"train": ROWS, "test": ROWS}
    assert made.files == (f"{s3}/theirs/x_test.h5", f"{s3}/theirs/x_train.h5")
    for split in made.rows:
        check_rows(f"{s3}/ours", course, split)


@pytest.mark.usefixtures("in_this_process")
def test_several_files_are_one_split(tmp_path: Path) -> None:
    forms = [("uint8", "HWC", "contiguous"), ("0 to 1", "CHW", "gzip"), ("wide", "HWC last", "pieces")]
    files = [write_course(tmp_path / f"{number}.h5", *form, "(n,)") for number, form in enumerate(forms)]
    assert index_hdf5(str(tmp_path)).url == f"file://{tmp_path}"
    dataset = open_dataset(str(tmp_path))
    split = dataset.split("train")
    expected = np.concatenate([file.images for file in files])
    for batch in Reader(dataset, split).batches_of(range(3 * ROWS), 50):
        np.testing.assert_array_equal(batch.images, expected[batch.rows])
    assert split.names(np.array([0, ROWS, 3 * ROWS - 1])) == [
        f"file://{tmp_path}/{name}" for name in ("0.h5:0", "1.h5:0", f"2.h5:{ROWS - 1}")
    ]


def write(path: Path, **arrays: Any) -> str:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name.replace("__", "/")] = array
    return str(path)


X, Y = np.zeros((6, 4, 4, 3), "u1"), np.array([0, 1, 2, 0, 1, 2])


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    "arrays",
    [
        {"train_set_x": X, "train_set_y": Y, "test_set_x": X, "test_set_y": Y},
        {"X_train": X, "y_train": Y, "X_test": X, "y_test": Y},
        {"train__images": X, "train__labels": Y, "test__images": X, "test__labels": Y},
        {"images__train": X, "labels__train": Y, "images__test": X, "labels__test": Y},
        {"train_images": X, "train_labels": Y, "test_images": X, "test_labels": Y},
    ],
)
def test_the_usual_names_are_found(arrays: dict[str, Any], tmp_path: Path) -> None:
    made = index_hdf5(write(tmp_path / "a.h5", **arrays))
    assert made.rows == {"train": 6, "test": 6}
    assert made.classes == ("0", "1", "2")


@pytest.mark.usefixtures("in_this_process")
def test_names_that_are_given(tmp_path: Path) -> None:
    write(tmp_path / "labels.h5", deep__numbers=Y)
    path = write(tmp_path / "a.h5", pictures=X, words=np.array([b"a", b"b", b"c"]))
    names = DatasetNames("pictures", "labels.h5:deep/numbers", "words")
    made = index_hdf5(path, None, names)
    assert (made.url, made.rows, made.classes) == (
        f"file://{tmp_path}/a.index",
        {"train": 6},
        ("a", "b", "c"),
    )
    assert index_hdf5(made.url).identity == made.identity, "made again, by the same names"


GREY = np.zeros((6, 16), "f4")


@pytest.mark.usefixtures("in_this_process")
def test_what_was_assumed_is_said(tmp_path: Path) -> None:
    made = index_hdf5(write(tmp_path / "a.h5", x=GREY, y=Y))
    assert made.image_shape == (4, 4, 3)
    assert made.assumed == ("the 16 values of a row of x are assumed to be 4 x 4 x 1",)


def nan(row: int) -> Any:
    values = np.zeros((6, 4, 4, 3), "f4")
    values[row, 1, 2, 0] = np.nan
    return values


def compressed(**options: Any) -> Callable[[Path], str]:
    def made(path: Path) -> str:
        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=X, **options)
            file["y"] = Y
        return str(path)

    return made


def virtual(path: Path) -> str:
    write(path.with_name("real.hdf5"), x=X)
    layout = h5py.VirtualLayout(X.shape, "u1")
    layout[:] = h5py.VirtualSource(path.with_name("real.hdf5"), "x", X.shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("x", layout)
        file["y"] = Y
    return str(path)


def sparse(path: Path) -> str:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", X.shape, "u1", chunks=(2, 4, 4, 3))[:2] = 1
        file["y"] = Y
    return str(path)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"x": X}, "found no images with labels among its datasets: x. Name them with --images and --labels"),
        ({"x": X, "y": Y[:5]}, r"x: 6 images in its shape \(6, 4, 4, 3\), and 5 labels"),
        ({"x": X, "y": Y + 0.5}, "y: expected whole numbers from 0 to 999,999, row 0 is 0.5"),
        ({"x": X, "y": Y - 1}, "y: expected whole numbers from 0 to 999,999, row 0 is -1"),
        ({"x": X, "y": np.full(6, np.nan)}, "row 0 is nan"),
        ({"x": X, "y": np.ones((6, 3))}, r"y: expected one-hot labels, as \(6, 3\) says; row 0 is not"),
        ({"x": X, "y": np.zeros(6, [("a", "i4")])}, r"y: expected numbers or texts, received \(6,\) of"),
        ({"x": X[:0], "y": Y[:0]}, r"y: expected labels .*, received \(0,\)"),
        (
            {"x": X.astype("u2") + 256, "y": Y},
            "x: its values are from 256 to 256; expected 0 to 1 or 0 to 255",
        ),
        ({"x": X - np.float32(1), "y": Y}, "x: its values are from -1 to -1"),
        ({"x": nan(0), "y": Y}, "x: its values are from nan to nan"),
        ({"x": np.zeros((6, 4, 4, 5), "u1"), "y": Y}, r"x: expected images .* received \(6, 4, 4, 5\)"),
        ({"x": np.zeros((6, 7), "u1"), "y": Y}, r"received \(6, 7\) and 6 labels\. .* give --image-shape"),
        ({"x": np.zeros(6, "u1"), "y": Y}, r"x: expected images .* received \(6,\)"),
        ({"x": X, "y": Y, "classes": [b"a", b"b"]}, "row 2 has label 2; with 2 classes the highest is 1"),
        (
            compressed(compression="lzf"),
            "x: compressed by lzf; expected shuffle, deflate, fletcher32 or nothing",
        ),
        (compressed(scaleoffset=0), "x: compressed by scaleoffset"),
        (virtual, "x: its values are in other files"),
        (sparse, "x: some of its chunks were never written"),
    ],
)
def test_what_cannot_be_read_says_why(made: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    url = write(path, **made) if isinstance(made, dict) else made(path)
    with pytest.raises(DataError, match=said):
        index_hdf5(url)
    assert not (tmp_path / "a.index").exists()


@pytest.mark.usefixtures("in_this_process")
def test_a_value_out_of_range_names_its_row(tmp_path: Path) -> None:
    values = np.zeros((900, 4, 4, 3), "f4")
    values[500, 1, 2, 0] = np.nan
    url = write(tmp_path / "a.h5", x=values, y=np.zeros(900, int))
    with pytest.raises(DataError, match=r"a\.h5: row 500 has the value nan, expected 0 to 1"):
        index_hdf5(url)


@pytest.mark.usefixtures("in_this_process")
def test_a_file_that_was_replaced_is_refused_until_it_is_indexed_again(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    index = index_hdf5(write(path, x=X, y=Y)).url
    other = X.copy()
    other[1] = 255
    path.unlink()
    write(path, x=other, y=Y)
    dataset = open_dataset(index)
    with pytest.raises(DataError, match=r"a\.h5 is not what was prepared: its checksum differs"):
        list(Reader(dataset, dataset.split("train")).batches_of(range(6), 6))
    index_hdf5(str(path))
    dataset = open_dataset(index)
    (batch,) = Reader(dataset, dataset.split("train")).batches_of(range(6), 6)
    np.testing.assert_array_equal(batch.images, other)
    assert len(list((tmp_path / "a.index" / "index").iterdir())) == 2, "nothing is left of the first"


@pytest.mark.usefixtures("in_this_process")
def test_another_dataset_is_not_replaced(digits: str, tmp_path: Path) -> None:
    url = write(tmp_path / "a.h5", x=X, y=Y)
    with pytest.raises(ConfigError, match="there is another dataset already"):
        index_hdf5(url, digits)


def test_train_from_it_by_command(tmp_path: Path, capsys: Any) -> None:
    draw = np.random.default_rng(1)
    labels = np.arange(209) % 2
    images = (
        draw.integers(0, 100, (209, 64, 64, 3), np.uint8) + (100 * labels).astype("u1")[:, None, None, None]
    )
    classes = np.array([b"non-cat", b"cat"])
    path = write(tmp_path / "a.h5", train_set_x=images, train_set_y=labels, list_classes=classes)
    assert main.run(["index", path]) == 0
    told = capsys.readouterr()
    assert "209 images" in told.out
    url = f"file://{tmp_path}/a.index"
    assert f"--set data.url={url}" in told.err
    sets = [f"data.url={url}", f"run.url={tmp_path}/run", "train.batch_size=19", "train.epochs=1"]
    assert (
        main.run(["train", "--recipe", "digits", *(word for text in sets for word in ("--set", text))]) == 0
    )
    assert (tmp_path / "run" / "finished.json").exists()
