"""Stanford Cars, UECFOOD and CIFAR-10 as they are handed out: whole, in part, and damaged."""

import io
import os
import pickle
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer.dataset.open_dataset import open_dataset
from trainer.dataset.reading.reader import Reader
from trainer.errors import DataError
from trainer.preparation.labels import find
from trainer.preparation.labels.formats.inert_pickle import load_inert
from trainer.preparation.prepare import prepare

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 3072), np.uint8)
BOXES = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


def problem(read: Callable[[], object]) -> str:
    """What is said of a damaged file; nothing where what is left of it can be read."""
    try:
        read()
    except DataError as error:
        return str(error)
    return ""


def cars(root: Path, labels: list[int], there: int, split: str = "train", name: str = "") -> Path:
    from scipy.io import savemat

    rows = np.zeros((1, len(labels)), [(field, object) for field in (*BOXES, "class", "fname")])
    folder = root / f"cars_{split}"
    folder.mkdir(parents=True, exist_ok=True)
    for number, label in enumerate(labels):
        rows[0, number] = (2, 3, 6, 5, label, f"{number + 1:05d}.jpg")
        if number < there:
            Image.fromarray(PIXELS[number].reshape(32, 32, 3)).save(folder / f"{number + 1:05d}.jpg", "PNG")
    (root / "devkit").mkdir(exist_ok=True)
    savemat(root / "devkit" / (name or "cars_train_annos.mat"), {"annotations": rows})
    names = np.array([["AM General", "Acura", "Audi"]], object)
    savemat(root / "devkit/cars_meta.mat", {"class_names": names})
    return root


def test_stanford_cars(tmp_path: Path) -> None:
    cars(tmp_path, [3, 1, 1, 2, 2, 3], there=3)
    source = find(str(tmp_path))
    assert source.classes == ("AM General", "Audi")
    assert [(item.key[-9:], item.label, item.crop) for item in source.splits["train"]] == [
        ("00002.jpg", 0, None),
        ("00003.jpg", 0, None),
        ("00001.jpg", 1, None),
    ]
    assert (source.missing.count, source.missing.first[0]) == (3, "cars_train/00004.jpg")
    assert source.warnings[0] == "skipped classes without images: 1 class (Acura)"
    cars(tmp_path, [1, 3], there=2, split="test", name="cars_test_annos_withlabels (1).mat")
    assert [item.label for item in find(str(tmp_path)).splits["test"]] == [0, 1]


def test_stanford_cars_cut_to_their_boxes(tmp_path: Path) -> None:
    cars(tmp_path / "in", [1, 2, 3], there=3)
    prepare(str(tmp_path / "in"), str(tmp_path / "out"), crop=True, validation=0)
    dataset = open_dataset(str(tmp_path / "out"))
    assert dataset.image_shape == (3, 5, 3)
    (batch,) = Reader(dataset, dataset.splits["train"]).batches_of(range(3), 3)
    names = dataset.splits["train"].names(np.arange(3))
    for image, name in zip(batch.images, names, strict=True):
        whole = PIXELS[int(name[-9:-4]) - 1].reshape(32, 32, 3)
        np.testing.assert_array_equal(image, whole[2:5, 1:6])
    Image.new("RGB", (4, 4)).save(tmp_path / "in/cars_train/00002.jpg", "PNG")
    with pytest.raises(
        DataError, match=r"00002.jpg: the bounding box \(1, 2, 6, 5\) is not inside the image of 4x4"
    ):
        prepare(str(tmp_path / "in"), str(tmp_path / "other"), crop=True, validation=0)


def test_matlab_files_that_are_none(tmp_path: Path) -> None:
    cars(tmp_path, [0, 1], there=2)
    with pytest.raises(DataError, match=r"annotation 1: expected a class from 1 to 3, found 0\. Count"):
        find(str(tmp_path))
    cars(tmp_path, [1, 2, 3], there=3)
    annotations = tmp_path / "devkit/cars_train_annos.mat"
    whole = annotations.read_bytes()
    annotations.write_bytes(b"MATLAB 7.3 MAT-file" + bytes(493) + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(DataError, match=r"not a MATLAB file, or a damaged one"):
        find(str(tmp_path))
    generator = random.Random(0)
    for number in range(18):
        damaged = bytearray(whole[: generator.randrange(len(whole))] if generator.random() < 0.3 else whole)
        for _ in range(generator.randrange(4)):
            if damaged:
                damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        if number not in (0, 2, 3, 17):  # one of each kind; the last one ends scipy with SIGBUS
            continue
        annotations.write_bytes(damaged)
        assert "\n" not in problem(lambda: find(str(tmp_path)))


def test_the_real_stanford_cars(sample_data: Path) -> None:
    source = find(str(sample_data / "stanford-cars-subset"))
    assert (source.labels, len(source.classes), source.classes[0]) == (
        "stanford-cars",
        196,
        "AM General Hummer SUV 2000",
    )
    assert len(source.splits["train"]) == 390
    assert source.missing.count == 8144 - 390


def food(root: Path, category: str) -> Path:
    for folder, names in {"1": "7 8", "2": "7", "10": "9"}.items():
        (root / folder).mkdir(parents=True)
        for name in names.split():
            Image.fromarray(PIXELS[int(name)].reshape(32, 32, 3)).save(root / folder / f"{name}.jpg")
        (root / folder / "bb_info.txt").write_text("img x1 y1 x2 y2\n7 0 0 5 5\n7 0 0 20 10\n9 1 2 3 4\n")
    (root / "category.txt").write_text(category)
    return root


@pytest.mark.parametrize(
    "text",
    ["id\tname\n1\trice\n2\teels on rice\n10\tpilaf\n", "id\tname\r1\trice\r2\teels on rice\r10\tpilaf"],
)
def test_uecfood(tmp_path: Path, text: str) -> None:
    source = find(str(food(tmp_path / "UECFOOD", text)))
    assert (source.labels, source.classes) == ("uecfood", ("rice", "eels on rice", "pilaf"))
    assert [(item.key, item.label) for item in source.splits["train"]] == [
        ("1/7.jpg", 0),
        ("1/8.jpg", 0),
        ("2/7.jpg", 1),
        ("10/9.jpg", 2),
    ]
    assert source.ignored.count == 0
    cropped = find(str(tmp_path), crop=True)
    assert [item.crop for item in cropped.splits["train"]] == [(0, 0, 20, 10), (0, 0, 20, 10), (1, 2, 3, 4)]
    assert cropped.ignored.first == ("UECFOOD/1/8.jpg",)


def test_uecfood_s_categories_on_one_line_and_with_one_missing(tmp_path: Path) -> None:
    rest = " ".join(f"{number} dish {number - 1}" for number in range(3, 11))
    source = find(str(food(tmp_path / "a", f"1 rice 2 eels on rice {rest}")))
    assert source.classes == ("rice", "eels on rice", "dish 9")
    with pytest.raises(DataError, match=r"category.txt: has no name for the folder 10"):
        find(str(food(tmp_path / "b", "1\trice\n2\teels\n")))


def cifar(root: Path, kind: str, batches: int = 2) -> Path:
    root.mkdir()
    labels = [row % 3 for row in range(20)]
    names = ["plane", "car", "bird"]
    for place, batch in enumerate([*(f"data_batch_{n + 1}" for n in range(batches)), "test_batch"]):
        rows = PIXELS + np.uint8(place)
        if kind == "binary":
            data = np.concatenate([np.array(labels, np.uint8)[:, None], rows], axis=1).tobytes()
            (root / f"{batch}.bin").write_bytes(data)
        else:
            value = {b"data": rows, b"labels": labels, b"filenames": [b"x.png"] * 20}
            (root / batch).write_bytes(pickle.dumps(value, int(kind)))
    if kind == "binary":
        (root / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    else:
        (root / "batches.meta").write_bytes(pickle.dumps({"label_names": names}, int(kind)))
    return root


@pytest.mark.parametrize("kind", ["binary", "0", "2", "4", "5"])
def test_cifar10_s_own_files(tmp_path: Path, kind: str) -> None:
    made = prepare(str(cifar(tmp_path / "in", kind)), str(tmp_path / "out"), validation=0)
    assert (made.labels, made.classes, made.rows) == (
        "cifar10",
        ("plane", "car", "bird"),
        {"train": 40, "test": 20},
    )
    dataset = open_dataset(str(tmp_path / "out"))
    split = dataset.splits["train"]
    (batch,) = Reader(dataset, split).batches_of(range(40), 40)
    for image, label, name in zip(batch.images, batch.labels, split.names(np.arange(40)), strict=True):
        place, row = int(name.partition("data_batch_")[2][0]) - 1, int(name[-5:])
        planes = (PIXELS + np.uint8(place))[row].reshape(3, 32, 32)
        np.testing.assert_array_equal(image, planes.transpose(1, 2, 0))
        assert label == row % 3


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (EVIL,)


EVIL = "/tmp/trainer-test-of-a-pickle"


def test_nothing_in_a_pickle_is_executed(tmp_path: Path) -> None:
    folder = cifar(tmp_path / "in", "2")
    for value in (Evil(), {"data": Evil(), "labels": [0]}, {"data": PIXELS, "labels": Evil()}):
        (folder / "data_batch_1").write_bytes(pickle.dumps(value))
        with pytest.raises(DataError, match=r"data_batch_1: expected (data|labels) as"):
            find(str(folder))
    assert not Path(EVIL).exists()


def test_a_damaged_batch_is_one_line(tmp_path: Path) -> None:
    whole = pickle.dumps({"data": PIXELS[:2], "labels": [0, 1]}, 2)
    generator = random.Random(0)
    for _ in range(400):
        damaged = bytearray(whole[: generator.randrange(len(whole))] if generator.random() < 0.3 else whole)
        for _ in range(generator.randrange(1, 4)):
            if damaged:
                damaged[generator.randrange(min(len(damaged), 300))] = generator.randrange(256)
        assert "\n" not in problem(partial(load_inert, "batch", bytes(damaged)))
    folder = cifar(tmp_path / "in", "binary")
    (folder / "data_batch_2.bin").write_bytes(b"\1" * 3074)
    with pytest.raises(DataError, match=r"data_batch_2.bin: expected a multiple of 3073 bytes, found 3074"):
        find(str(folder))
    (folder / "data_batch_2.bin").write_bytes(b"\3" * 3073)
    with pytest.raises(DataError, match=r"data_batch_2.bin: expected labels from 0 to 2, found 3"):
        find(str(folder))
    buffer = io.BytesIO(whole[:200])
    with pytest.raises(DataError, match=r"batch: not a pickle of numbers and texts, or a damaged one"):
        load_inert("batch", buffer.getvalue())
