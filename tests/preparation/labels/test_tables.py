"""Label tables as they are published: read as their author meant them, or refused in one line."""

from collections import Counter
from pathlib import Path

import pytest

from trainer.errors import DataError
from trainer.preparation.labels.find import find

IMAGES = [f"img{number}.png" for number in range(12)]
HALVES = {"cat": 6, "dog": 6}


def kind(number: int) -> str:
    return "dog" if number % 2 else "cat"


def table(head: str, row: str) -> str:
    """`row` with {n} for a number, {k} for its class, {b} and {c} for 0 and 1 of the two classes."""
    lines = [row.format(n=n, k=kind(n), b=n % 2, c=1 - n % 2) for n in range(len(IMAGES))]
    return "\n".join([head, *lines] if head else lines) + "\n"


@pytest.mark.parametrize(
    ("name", "head", "row"),
    [
        ("labels.csv", "filename,label", "img{n}.png,{k}"),
        ("labels.csv", "id,breed", "img{n},{k}"),
        ("labels.csv", "", "img{n}.png,{k}"),
        ("labels.tsv", "image\tlabel", "img{n}.png\t{k}"),
        ("labels.csv", "image;label", "img{n}.png;{k}"),
        ("metadata.csv", "lesion_id,image_id,dx,age", "L{n},img{n},{k},50"),
        ("metadata.csv", "patient,Path,diagnosis", "p{n},x/img{n}.png,{k}"),
        ("GT.csv", "Filename;Width;Height;Roi.X1;ClassId", "img{n}.png;30;30;5;{k}"),
        ("train.csv", ",Filename,Label,ClassName", "{n},img{n}.png,{b},{k}"),
        ("train.csv", "image_id,cat,dog", "img{n},{c},{b}"),
        ("train.csv", "image_id,cat,dog", "img{n},{c}.0,{b}.0"),
        ("_classes.csv", "filename, cat, dog", "img{n}.png, {c}, {b}"),
        ("trainLabels.csv", "id,label", "img{n},{k}"),
        ("val_annotations.txt", "", "img{n}.png\t{k}\t0\t{n}\t44\t62"),
        ("labels.txt", "", "x/img{n}.png {k}"),
    ],
)
def test_a_published_table(tmp_path: Path, name: str, head: str, row: str) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    for image in IMAGES:
        (folder / image).write_bytes(b"")
    (tmp_path / name).write_text(table(head, row))
    source = find(str(tmp_path))
    named = {item.key: source.classes[item.label] for item in source.splits["train"]}
    assert named == {f"x/{image}": kind(number) for number, image in enumerate(IMAGES)}
    assert source.labels == "list"
    assert Counter(named.values()) == HALVES


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("image_id,cat,dog", "img{n},1,1"),
        ("a,b,c", "img{n}.png,{k},{n}"),
        ("filename,label,class", "img{n}.png,{k},{n}"),
    ],
)
def test_a_table_that_is_not_understood_is_refused(tmp_path: Path, head: str, row: str) -> None:
    """The folder that holds all images is not taken for their class."""
    (tmp_path / "x").mkdir()
    for image in IMAGES:
        (tmp_path / "x" / image).write_bytes(b"")
    (tmp_path / "table.csv").write_text(table(head, row))
    with pytest.raises(DataError, match=f"for the image and for the label, found {head.replace(',', ', ')}"):
        find(str(tmp_path))


def test_a_table_of_the_training_says_nothing_of_the_test_images(tmp_path: Path) -> None:
    for split, count in (("train", 12), ("test", 5)):
        (tmp_path / split).mkdir()
        for number in range(count):
            (tmp_path / split / f"{number}.png").write_bytes(b"")
    (tmp_path / "trainLabels.csv").write_text(table("id,label", "{n},{k}"))
    source = find(str(tmp_path))
    assert {item.key: source.classes[item.label] for item in source.splits["train"]} == {
        f"train/{number}.png": kind(number) for number in range(12)
    }
    assert list(source.splits) == ["train"]
    assert source.ignored.count == 5
