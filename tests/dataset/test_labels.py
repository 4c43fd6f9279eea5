"""Class folders, on a disk and in a bucket, and what is wrong with them."""

from pathlib import Path

import pytest

from trainer.dataset.preparation.labels import class_folders
from trainer.errors import EXIT_INVALID, DataError
from trainer.storage import open_store


def fill(url: str, *keys: str) -> str:
    """A key that ends with "/" makes an empty folder, where the store has such."""
    store = open_store(url)
    for key in keys:
        if key.endswith("/"):
            if store.url.startswith("file://"):
                Path(store.url.removeprefix("file://"), key).mkdir(parents=True)
        else:
            store.put(key, b"x")
    return url


def test_classes_are_folders_sorted_by_name(store_url: str) -> None:
    fill(store_url, "dog/b.jpg", "dog/a.JPEG", "cat/1.png", "cat/2.webp", "10/x.gif", "9/x.bmp")
    source = class_folders(store_url)
    assert source.classes == ("10", "9", "cat", "dog")
    assert list(source.splits) == ["train"]
    assert [(item.key, item.label) for item in source.splits["train"]] == [
        ("10/x.gif", 0),
        ("9/x.bmp", 1),
        ("cat/1.png", 2),
        ("cat/2.webp", 2),
        ("dog/a.JPEG", 3),
        ("dog/b.jpg", 3),
    ]
    assert source.ignored == 0


@pytest.mark.parametrize("name", ["validation", "valid", "val"])
def test_splits_are_folders_too(store_url: str, name: str) -> None:
    fill(store_url, "train/a/1.jpg", "train/b/1.jpg", f"{name}/a/2.jpg", "test/b/3.jpg", ".cache/c/4.jpg")
    source = class_folders(store_url)
    assert source.classes == ("a", "b")
    assert {split: [item.key for item in items] for split, items in source.splits.items()} == {
        "train": ["train/a/1.jpg", "train/b/1.jpg"],
        "validation": [f"{name}/a/2.jpg"],
        "test": ["test/b/3.jpg"],
    }
    assert source.splits["test"][0].label == 1


def test_a_class_may_be_called_train(store_url: str) -> None:
    assert class_folders(fill(store_url, "train/1.jpg", "plane/1.jpg")).classes == ("plane", "train")


def test_hidden_and_other_files_are_not_images(store_url: str) -> None:
    keys = ["a/1.jpg", "a/.2.jpg", ".b/1.jpg", "__MACOSX/a/1.jpg", "README.md", "a/notes.txt", "a/deep/3.jpg"]
    source = class_folders(fill(store_url, *keys, "a/.DS_Store"))
    assert [item.key for item in source.splits["train"]] == ["a/1.jpg"]
    assert source.ignored == 3


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["README.md"], "expected class folders, found none. Put the images of each class into a folder"),
        (
            ["1.jpg", "2.jpg"],
            "expected class folders, found none. Put the images of each class into a folder",
        ),
        (["a/1.jpg", "b/notes.txt"], r"/b: the class has no images \(.jpg.*Add images, or remove the folder"),
        (["a/1.jpg", "b/deep/1.jpg"], r"/b: the class has no images"),
        (["train/a/1.jpg", "test/a/1.jpg", "test/b/1.jpg"], "test/b: the class 'b' has no training images"),
        (
            ["train/a/1.jpg", "val/a/1.jpg", "valid/a/1.jpg"],
            "expected train, validation .* found train, val, valid",
        ),
        (["train/a/1.jpg", "extra/a/1.jpg"], "found extra, train. Rename or remove"),
    ],
)
def test_what_is_wrong_is_one_line(store_url: str, keys: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        class_folders(fill(store_url, *keys))
    assert error.value.exit_code == EXIT_INVALID
    assert "\n" not in str(error.value)


def test_an_empty_folder_and_an_empty_class_on_disk(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected class folders with images, found nothing"):
        class_folders(str(tmp_path))
    (tmp_path / "cat").mkdir()
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog/1.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match=r"/cat: the class has no images"):
        class_folders(str(tmp_path))


def test_a_source_that_is_not_there(store_url: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder|found nothing"):
        class_folders(f"{store_url}/missing")


def test_a_bucket_that_is_not_there(s3: str) -> None:
    with pytest.raises(DataError, match=r"s3://there-is-no-such-bucket"):
        class_folders("s3://there-is-no-such-bucket/x")
