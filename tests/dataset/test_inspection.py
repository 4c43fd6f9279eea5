"""`trainer inspect` says what is suspicious about a dataset, and nothing about a good one."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.datasets import make_folders
from trainer.dataset.dataset import Dataset
from trainer.dataset.inspection.contact_sheet import contact_sheet, write_contact_sheet
from trainer.dataset.inspection.describe import inspect
from trainer.dataset.inspection.label_checks import check_labels
from trainer.dataset.open_dataset import open_dataset
from trainer.errors import ConfigError
from trainer.preparation.prepare import prepare


@pytest.mark.parametrize(
    ("train", "validation", "says"),
    [
        ([3, 3, 3], [1, 1, 1], None),
        ([0, 3, 3], [0, 1, 1], "may be counted from 1 instead of 0"),
        ([3, 0, 0], [1, 0, 0], "3 classes have names, but no training image a label above 0"),
        ([3, 0, 3], [1, 0, 1], "no training images: 'dog'"),
        ([3, 3, 0], [1, 1, 1], "validation has images of classes that train has none of: 'owl'"),
        ([30, 3, 3], [1, 1, 1], "imbalanced: 30 training images of 'cat', 3 of 'dog'"),
    ],
)
def test_labels(train: list[int], validation: list[int], says: str | None) -> None:
    counts = {"train": np.array(train), "validation": np.array(validation)}
    found = check_labels(("cat", "dog", "owl"), counts)
    assert any(says in sentence for sentence in found) if says else not found


def test_names_that_are_twice_in_the_list() -> None:
    assert check_labels(("a", "b", "a"), {"train": np.array([1, 1, 1])}) == ["2 classes are called 'a'"]
    assert check_labels(("a", "b"), {"train": np.array([0, 4])})[-1] == "all training images are of one class"


def test_a_good_dataset_has_nothing_suspicious(dataset: Dataset) -> None:
    found = inspect(dataset.url, read=True)
    assert found["findings"] == []
    assert found["read"]
    for name, split in dataset.splits.items():
        read = found["read"][name]
        assert (read["images"], read["different_images"]) == (split.rows, split.rows)
        assert read["mean"] == found["splits"][name]["mean"]
    assert inspect(dataset.url)["read"] is None


def test_each_image_is_looked_at(tmp_path: Path) -> None:
    root = make_folders(tmp_path / "images", {"train/cat": 9, "train/dog": 9, "test/cat": 3, "test/dog": 3})
    Image.new("RGB", (4, 5), (9, 9, 9)).save(root / "train/cat/blank.png")
    # The same pixels in other bytes, which `prepare` does not know to be the same.
    for level, copy in enumerate(("train/cat/again.png", "train/dog/other.png", "test/cat/leak.bmp")):
        Image.open(root / "train/cat/0003.png").save(root / copy, compress_level=level)
    made = prepare(str(root), f"file://{tmp_path}/made", validation=0)
    found = "\n".join(inspect(made.url, read=True)["findings"])
    assert "train: images of one colour (1): train/cat/blank.png" in found
    for sentence, other in (
        ("the same image in more than one split (1)", "test: test/cat/leak.bmp (cat)"),
        ("the same image in more than one class (1)", "train: train/dog/other.png (dog)"),
        ("the same image twice in a split (1)", "train/cat/"),
    ):
        (line,) = [line for line in found.splitlines() if line.startswith(sentence)]
        assert other in line


def test_pixels_that_were_divided_before_they_became_whole_numbers(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 2, (12, 5, 4, 3), np.uint8)
    for number, image in enumerate(pixels):
        path = tmp_path / "images" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    made = prepare(str(tmp_path / "images"), f"file://{tmp_path}/made", validation=0)
    assert "may have been divided by 255" in inspect(made.url, read=True)["findings"][0]


def test_a_contact_sheet_has_a_row_for_each_class_with_its_own_images(tmp_path: Path) -> None:
    colours = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
    for name, colour in colours.items():
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (40, 30), colour).save(tmp_path / "images" / name / f"{number}.png")
    made = prepare(str(tmp_path / "images"), f"file://{tmp_path}/made", validation=0)
    sheet = np.asarray(Image.open(io.BytesIO(contact_sheet(open_dataset(made.url)))))
    rows = np.array_split(sheet, 3)
    for name, row in zip(made.classes, rows, strict=True):
        pixels = {tuple(pixel) for pixel in row.reshape(-1, 3).tolist()}
        assert pixels & set(colours.values()) == {colours[name]}


def test_where_no_contact_sheet_can_be_written(dataset: Dataset, tmp_path: Path) -> None:
    assert write_contact_sheet(dataset.url, str(tmp_path)) == tmp_path / "contact-sheet.png"
    with pytest.raises(ConfigError, match="cannot be written"):
        write_contact_sheet(dataset.url, str(tmp_path / "no/such/folder.png"))
