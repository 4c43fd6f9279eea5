"""Label lists as people write them, and those that would label the wrong images."""

from pathlib import Path

import pytest

from trainer.errors import DataError
from trainer.preparation.labels import LabelledImages, find

NAMED = {"1.jpg": "cat", "2.jpg": "dog", "10.jpg": "cat"}


def with_list(root: Path, images: str, name: str, text: str | bytes) -> Path:
    for image in images.split():
        (root / image).parent.mkdir(parents=True, exist_ok=True)
        (root / image).write_bytes(b"x")
    (root / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return root


def labelled(source: LabelledImages, split: str = "train") -> dict[str, str]:
    return {item.key: source.classes[item.label] for item in source.splits[split]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.txt", "cat\ndog\ncat\n"),
        ("labels.txt", "\ufeffcat\r\ndog\r\ncat\r\n\r\n"),
        ("labels.txt", "'cat'\n\"dog\"\n cat "),
        ("labels.txt", "10.jpg cat\n1.jpg cat\n2.jpg dog"),
        ("labels.txt", "filename label\n10.jpg cat\n1.jpg cat\n2.jpg dog"),
        ("labels.txt", "1 cat\n2\tdog\n10, cat"),
        ("labels.csv", "filename,label\n1.jpg,cat\n2.jpg,dog\n10.jpg,cat\n"),
        ("labels.csv", "label;x;image\ncat;;1.jpg\ndog;;2.jpg\ncat;;10.jpg\n"),
        ("labels.csv", '"1.jpg", "cat"\r\n"2.jpg", "dog"\r\n"10.jpg", "cat"\r\n'),
        ("labels.csv", "id,breed\n0001,cat\n2,dog\n10,cat\n"),
        ("labels.csv", "what,which\n1.jpg,cat\n2.jpg,dog\n10.jpg,cat\n"),
        ("labels.csv", "label\ncat\ndog\ncat\n"),
        ("labels.tsv", "cat\t1.jpg\ndog\t2.jpg\ncat\tC:\\data\\10.jpg\n"),
        ("labels.csv", "filename,label\n/home/me/1.jpg,cat\n./2.jpg,dog\n10.jpg,cat\n".encode("utf-16")),
        ("labels.json", '["cat", "dog", "cat"]'),
        ("labels.json", '{"2.jpg": "dog", "1.jpg": "cat", "10": "cat"}'),
        ("labels.json", '[{"file_name": "1.jpg", "label": "cat"}, {"file_name": "2.jpg", "label": "dog"},'
         ' {"file_name": "10.jpg", "label": "cat"}]'),
    ],
)  # fmt: skip
def test_a_list_labels_the_images(tmp_path: Path, name: str, text: str | bytes) -> None:
    with_list(tmp_path, "1.jpg 2.jpg 10.jpg", name, text)
    source = find(str(tmp_path), name)
    assert labelled(source) == NAMED
    assert list(labelled(source)) == ["1.jpg", "10.jpg", "2.jpg"]
    assert source.missing.count == source.ignored.count == 0


def test_images_that_are_listed_and_not_there_are_told_of(tmp_path: Path) -> None:
    rows = "".join(f"{number}.jpg,{number % 2}\n" for number in range(20)) + "../../etc/9.jpg,0\n"
    with_list(tmp_path, "4.jpg 5.jpg 99.jpg", "labels.csv", rows)
    source = find(str(tmp_path))
    assert labelled(source) == {"4.jpg": "0", "5.jpg": "1"}
    assert source.missing.count == 19
    assert source.missing.first[:2] == ("0.jpg", "1.jpg")
    assert source.ignored.first == ("99.jpg",)


@pytest.mark.parametrize(
    ("images", "first"), [("0.jpg 2.jpg", "even odd"), ("2.jpg 4.jpg", "odd even"), ("1.jpg", None)]
)
def test_of_more_labels_than_images_the_numbers_tell_which(tmp_path: Path, images: str, first: str) -> None:
    with_list(tmp_path, images, "labels.txt", "\n".join((first or "odd even").split() * 2))
    if first:
        assert set(labelled(find(str(tmp_path), "labels.txt", one_class=True)).values()) == {"even"}
    else:
        with pytest.raises(DataError, match=r"4 labels without names for 1 images with the numbers 1 to 1"):
            find(str(tmp_path), "labels.txt")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("l.txt", "", "the label list is empty"),
        ("l.txt", "cat\ndog", "expected a label for each of 3 images, found 2"),
        ("l.txt", "cat\n\ndog", "line 2: expected a label, found nothing"),
        ("l.txt", b"caf\xe9\nx\ny", "expected text in UTF-8, found other bytes at 3"),
        ("l.txt", "1.jpg cat\n2.jpg dog\noops\n10.jpg cat", "line 3: expected an image's name and a label"),
        ("l.csv", "1.jpg,cat\n1.jpg,dog", r"line 2: 1.jpg is 'dog' here and 'cat' above"),
        ("l.csv", "a,b,c\n1,2,3", "expected columns for the image and for the label, found a, b, c"),
        ("l.csv", "1.jpg,cat\n2.jpg", "line 2: expected 2 values as in the first line, found 1"),
        ("l.csv", "filename,label\n1.jpg,", "line 2: expected a label, found nothing"),
        ("l.csv", "../1.jpg,cat\n/x/../2.jpg,dog", r"none of the images .* is there, such as ../1.jpg"),
        ("l.json", '{"1.jpg": "a", "1.jpg": "b"}', "'1.jpg' is there twice"),
        ("l.json", '{"1.jpg": 1.5}', "expected a text or a whole number, found 1.5"),
        ("l.json", "[" * 100000, "not JSON"),
        ("l.json", "3", "expected a list of labels"),
    ],
)
def test_a_list_that_does_not_fit_is_one_line(
    tmp_path: Path, name: str, text: str | bytes, message: str
) -> None:
    with_list(tmp_path, "1.jpg 2.jpg 10.jpg", name, text)
    with pytest.raises(DataError, match=message) as error:
        find(str(tmp_path), name)
    assert "\n" not in str(error.value)


def test_a_name_that_several_images_have_is_refused_and_a_path_tells(tmp_path: Path) -> None:
    with_list(tmp_path, "a/1.jpg b/1.jpg", "l.csv", "1.jpg,cat\n")
    with pytest.raises(DataError, match=r"names 1.jpg, which is any of a/1.jpg, b/1.jpg"):
        find(str(tmp_path), "l.csv")
    with_list(tmp_path, "", "l.csv", "a/1.jpg,cat\nb\\1.jpg,dog\nc/1.jpg,cat\n")
    source = find(str(tmp_path), "l.csv")
    assert labelled(source) == {"a/1.jpg": "cat", "b/1.jpg": "dog"}
    assert source.missing.first == ("c/1.jpg",)


def test_numbers_have_names_where_a_file_gives_them(tmp_path: Path) -> None:
    with_list(tmp_path, "1.jpg 2.jpg 10.jpg", "labels.txt", "1\n10\n2\n")
    assert find(str(tmp_path), "labels.txt").classes == ("1", "2", "10")
    with_list(tmp_path, "", "classes.txt", "\n".join(f"class {number}" for number in range(1, 11)))
    assert find(str(tmp_path), "labels.txt").classes == ("class 1", "class 2", "class 10")
    with_list(tmp_path, "", "classes.txt", "one\ntwo\nthree\n")
    with pytest.raises(DataError, match=r"3 names for labels from 1 to 10: which belongs to which"):
        find(str(tmp_path), "labels.txt")


def test_a_list_for_each_split(tmp_path: Path) -> None:
    with_list(tmp_path, "train/1.jpg train/2.jpg test/3.jpg", "train.csv", "1.jpg,cat\n2.jpg,dog\n")
    with_list(tmp_path, "", "test.csv", "3.jpg,dog\n")
    source = find(str(tmp_path))
    assert labelled(source) == {"train/1.jpg": "cat", "train/2.jpg": "dog"}
    assert labelled(source, "test") == {"test/3.jpg": "dog"}


def test_a_list_in_a_bucket_and_one_beside_it(s3: str, tmp_path: Path) -> None:
    from trainer.storage import open_store

    store = open_store(f"{s3}/x")
    for name in NAMED:
        store.put(f"images/{name}", b"x")
    (tmp_path / "mine.csv").write_text("".join(f"{name},{label}\n" for name, label in NAMED.items()))
    beside = find(store.url, str(tmp_path / "mine.csv"))
    store.put("labels.csv", (tmp_path / "mine.csv").read_bytes())
    assert labelled(beside) == labelled(find(store.url)) == {f"images/{k}": v for k, v in NAMED.items()}
    with pytest.raises(DataError, match=r"--labels other.csv: neither a kind of labels nor a file"):
        find(store.url, "other.csv")
