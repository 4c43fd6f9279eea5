"""Label tables as they are published: read as their author meant them, or refused in one line."""

from collections import Counter
from pathlib import Path

import pytest

from trainer.errors import ConfigError, DataError
from trainer.preparation.labels import Columns
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


def lay(root: Path, files: dict[str, str], images: str) -> Path:
    for name, text in [*files.items(), *((image, "") for image in images.split())]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


TWO = "1.png 2.png"
SIX = "1.png 2.png 3.png 4.png 5.png 6.png"


@pytest.mark.parametrize(
    ("files", "images", "expected"),
    [
        # A row's number beside the file's name, with another image's number as its name.
        ({"t.csv": "id,file,label\n1,3.png,a\n2,1.png,b\n3,2.png,a\n"}, "1.png 2.png 3.png", "1b 2a 3a"),
        ({"t.csv": "age,id,label\n1,3,a\n1,1,b\n2,2,a\n"}, "1.png 2.png 3.png", "1b 2a 3a"),
        ({"t.csv": "label,scan\n1,3\n2,1\n1,2\n"}, "1.png 2.png 3.png", "12 21 31"),
        # Heads that are also names of images, and classes that are called as heads.
        ({"t.csv": "id,label\nid,a\nx,b\n"}, "id.png x.png", "ida xb"),
        ({"t.csv": "1.png,label\n2.png,target\n3.png,label\n"}, "1.png 2.png 3.png", "1label 2target 3label"),
        ({"t.csv": "image,x,y,kind\n1,5,0,a\n2,6,0,b\n".replace("kind", "class")}, TWO, "1a 2b"),
        # Numbers as pandas writes them.
        ({"t.csv": "image,label\n1.png,0.0\n2.png,1.0\n"}, TWO, "10 21"),
        # Lower and upper case, accents apart or not, paths of Windows, quotes.
        ({"t.csv": "image,label\n1.PNG,a\n2.png,b\n"}, "1.png 2.PNG", "1a 2b"),
        ({"t.csv": "image,label\ne\u0301.png,a\n2.png,b\n"}, "\u00e9.png 2.png", "\u00e9a 2b"),
        ({"t.csv": 'image,label\r\n"C:\\x\\1.png","a"\r\n"C:\\x\\2.png","b"\r\n'}, TWO, "1a 2b"),
        ({"t.csv": "image|label\n1.png|a, small\n2.png|b, big\n"}, TWO, "1a, small 2b, big"),
        # A list in brackets, over several lines.
        ({"labels.txt": "[7, 8, 7,\n 8, 7, 8]\n"}, SIX, "17 28 37 48 57 68"),
        ({"labels.txt": "['a', 'b', 'a', 'b', 'a', 'b']"}, SIX, "1a 2b 3a 4b 5a 6b"),
        # Names of the numbers, in the ways in which they are written.
        ({"t.csv": "image,label\n1.png,0\n2.png,1\n", "classes.txt": "0 = a\n1 = b\n"}, TWO, "1a 2b"),
        ({"t.csv": "image,label\n1.png,0\n2.png,1\n", "classes.txt": "{0: 'a', 1: 'b'}"}, TWO, "1a 2b"),
        ({"t.csv": "image,label\n1.png,0\n2.png,1\n", "class_indices.json": '{"b": 1, "a": 0}'},
         TWO, "1a 2b"),
        ({"t.csv": "image,label\n1.png,1\n2.png,2\n", "classes.txt": "a 1\nb 2\n"}, TWO, "1a 2b"),
        # One of two folders is meant.
        ({"labels.csv": "id,label\n1,a\n2,b\n3,a\n"},
         "train/1.png train/2.png train/3.png test/1.png test/2.png", "1a 2b 3a"),
        ({"trainLabels.csv": "id,label\n1,a\n2,b\n", "sampleSubmission.csv": "id,label\n1,a\n2,a\n"},
         "train/1.png train/2.png test/1.png test/2.png", "1a 2b"),
        # One table for each folder, as the German traffic signs have it.
        ({f"{n:05}/GT-{n:05}.csv": f"Filename;ClassId\n00000.png;{n}\n00001.png;{n}\n" for n in (0, 1)},
         "00000/00000.png 00000/00001.png 00001/00000.png 00001/00001.png", "000000 000010 000001 000011"),
        # A comment, and names without suffix in a text.
        ({"list.txt": "#Image CLASS\na_1 x\nb_1 y\n"}, "a_1.jpg b_1.jpg", "a_1x b_1y"),
        ({"l.json": '{"a": ["1.png", "3.png"], "b": ["2.png"]}'}, "1.png 2.png 3.png", "1a 2b 3a"),
        ({"l.json": '{"images": [{"id": 5, "file_name": "1.png"}, {"id": 6, "file_name": "2.png"}],'
          ' "annotations": [{"image_id": 6, "category_id": 1}, {"image_id": 5, "category_id": 2}],'
          ' "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]}'}, TWO, "1b 2a"),
    ],
)  # fmt: skip
def test_a_table_that_could_be_read_wrongly(
    tmp_path: Path, files: dict[str, str], images: str, expected: str
) -> None:
    source = find(str(lay(tmp_path, files, images)))
    found = {
        item.key.rpartition("/")[2].rpartition(".")[0] + source.classes[item.label]
        for item in source.splits["train"]
    }
    wanted = expected.split(" ") if ", " not in expected else ["1a, small", "2b, big"]
    if "00000/00000.png" in images:  # by folders or by the tables: they say the same
        assert [Counter(item.label for item in source.splits["train"])] == [{0: 2, 1: 2}]
    else:
        assert found == set(wanted)


@pytest.mark.parametrize(
    ("files", "images", "message"),
    [
        ({"t.csv": "id,scan,label\n1,3,a\n2,1,b\n3,2,a\n"}, "1.png 2.png 3.png", "the image may be id, scan"),
        ({"t.csv": "file,kind\nx/1.png,a\nx/2.png,b\ny/3.png,a\n"}, "x/1.png x/2.png y/3.png",
         "the column kind may be the label, but says something else than the folders"),
        ({"m.csv": "file,age,sex\np1/1.png,5,m\np1/2.png,6,f\np2/3.png,6,f\n"}, "p1/1.png p1/2.png p2/3.png",
         "found file, age, sex .the label may be age, sex.*--label-column, or choose --labels folders"),
        ({"t.csv": "image,label\n1.png,a\n2.png,\n"}, TWO, "line 3: expected a label, found nothing"),
        ({"t.csv": "image,label\n1.png,a\n2.png,nan\n"}, TWO, "line 3: expected a label, found nan"),
        ({"t.csv": "image,label\n1.png,0.5\n2.png,1.5\n"}, TWO, "expected a class, found the number 0.5"),
        ({"t.csv": "image,label\n1.png,1\n2.png,01\n"}, TWO, "are one number, written in two ways"),
        ({"t.csv": "image,label,split\n1.png,a,train\n2.png,b,\n"}, TWO, "the column split has ''"),
        ({"t.csv": "image,label,split\n1.png,a,train\n1.png,a,test\n"}, TWO, "for test here and for train"),
        ({"a.csv": "image,label\n1.png,a\n2.png,b\n", "b.csv": "image,label\n1.png,c\n2.png,d\n"}, TWO,
         "more than one file may be the label list: a.csv, b.csv"),
        ({"train.csv": "image,label\n1.png,a\n2.png,b\n", "test.csv": "image,class\n3.png,a\n4.png,b\n"}, SIX,
         "expected one column of labels, found class in test.csv and label in train.csv"),
        ({"text.csv": "".join(f"{n}.png,text {n} of it\n" for n in range(30))},
         " ".join(f"{n}.png" for n in range(30)), "has 30 labels for 30 images, .* seem to be no classes"),
        ({"boxes.txt": "", "list.txt": "1.png 10 20 30\n2.png 1 2 3\n"}, TWO, "found several values"),
        ({"labels.csv": "kind\na\nb\na\nb\n"}, "0.png 1.png 2.png 3.png", "may be a heading or a label"),
        ({"t.csv": "image,label\n1.png,0\n2.png,1\n", "classes.txt": "a\na\n"}, TWO, "have the name 'a'"),
        ({"labels.csv": "id,label\n1,a\n2,b\n"}, "train/1.png train/2.png test/1.png test/2.png", "any of"),
    ],
)  # fmt: skip
def test_a_table_that_would_be_read_wrongly_is_refused(
    tmp_path: Path, files: dict[str, str], images: str, message: str
) -> None:
    with pytest.raises(DataError, match=message) as error:
        find(str(lay(tmp_path, files, images)))
    assert "\n" not in str(error.value)


def test_columns_may_be_named_and_some_classes_taken(tmp_path: Path) -> None:
    rows = "".join(f"img{n}.png,{kind(n)},{'abc'[n % 3]},{'test' if n > 7 else 'train'}\n" for n in range(12))
    lay(tmp_path, {"t.csv": "scan,animal,letter,data set\n" + rows}, " ".join(IMAGES))
    source = find(str(tmp_path), columns=Columns("scan", "letter"))
    assert {split: len(items) for split, items in source.splits.items()} == {"train": 8, "test": 4}
    assert source.classes == ("a", "b", "c")
    some = find(str(tmp_path), columns=Columns(label="letter"), classes=("c", "a"))
    assert some.classes == ("c", "a")
    assert {item.key for item in some.splits["train"] if item.label == 0} == {"img2.png", "img5.png"}
    with pytest.raises(DataError, match=r"--label-column: .* has no column 'kind'; its first line: scan"):
        find(str(tmp_path), columns=Columns(label="kind"))
    with pytest.raises(ConfigError, match=r"--classes: .* has no class 'd'; its classes: a, b, c"):
        find(str(tmp_path), columns=Columns(label="letter"), classes=("a", "d"))
    with pytest.raises(ConfigError, match=r"expected a label table, received --labels prefix"):
        find(str(tmp_path), "prefix", columns=Columns(label="letter"))
