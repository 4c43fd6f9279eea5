"""Class folders, on a disk and in a bucket; which convention a source follows; and what is wrong with it."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.datasets import make_folders
from trainer.errors import EXIT_INVALID, ConfigError, DataError
from trainer.inference.sources.prefix import list_images
from trainer.preparation.labels import NAMES, NamesAndCount, find
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
    source = find(store_url)
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
    assert source.ignored == NamesAndCount()


@pytest.mark.parametrize("name", ["validation", "valid", "val"])
def test_splits_are_folders_too(store_url: str, name: str) -> None:
    fill(store_url, "train/a/1.jpg", "train/b/1.jpg", f"{name}/a/2.jpg", "test/b/3.jpg", ".cache/c/4.jpg")
    source = find(store_url)
    assert source.classes == ("a", "b")
    assert {split: [item.key for item in items] for split, items in source.splits.items()} == {
        "train": ["train/a/1.jpg", "train/b/1.jpg"],
        "validation": [f"{name}/a/2.jpg"],
        "test": ["test/b/3.jpg"],
    }
    assert source.splits["test"][0].label == 1


def test_a_class_may_be_called_train(store_url: str) -> None:
    assert find(fill(store_url, "train/1.jpg", "plane/1.jpg")).classes == ("plane", "train")


def test_numbers_sort_as_numbers(tmp_path: Path) -> None:
    source = find(
        fill(str(tmp_path), *(f"{number}/img_{number + 1}.jpg" for number in range(12)), "2/img_20.jpg")
    )
    assert source.classes == tuple(map(str, range(12)))
    assert [item.key for item in source.splits["train"]][2:4] == ["2/img_3.jpg", "2/img_20.jpg"]
    assert [item.label for item in source.splits["train"]][-1] == 11


def test_images_in_folders_of_a_class_are_the_class_s(store_url: str) -> None:
    keys = ["a/1.jpg", "a/deep/er/2.tiff", "b/x/3.JFIF", "b/y/4.jpe", "b/5.tif"]
    source = find(fill(store_url, *keys))
    assert sorted((item.key, item.label) for item in source.splits["train"]) == [
        (key, int(key[0] == "b")) for key in sorted(keys)
    ]


def test_what_is_left_out_is_named(store_url: str) -> None:
    keys = ["a/1.jpg", "a/.2.jpg", ".b/1.jpg", "__MACOSX/a/1.jpg", "README.md", "a/notes.txt", "b/1.jpg"]
    source = find(fill(store_url, *keys, "a/.DS_Store", "top.jpg"))
    assert [item.key for item in source.splits["train"]] == ["a/1.jpg", "b/1.jpg"]
    assert source.ignored.count == 3
    assert set(source.ignored.first) == {"README.md", "a/notes.txt", "top.jpg"}
    fill(store_url, *(f"a/{number}.txt" for number in range(50)))
    assert find(store_url).ignored.count == 53
    assert len(find(store_url).ignored.first) == 5


def test_prepare_and_predict_take_the_same_files_for_images(store_url: str) -> None:
    keys = ["a/1.jpg", "a/.2.jpg", ".b/1.jpg", "a/.c/3.jpg", "__MACOSX/a/1.jpg", "b/notes.txt", "b/4.TIFF"]
    fill(store_url, *keys)
    taken = {item.key for item in find(store_url, "folders").splits["train"]}
    predicted = {image.key for image in list_images(open_store(store_url), Counter())}
    assert taken == predicted == {"a/1.jpg", "b/4.TIFF"}


def test_a_link_to_a_folder_above_is_not_followed(tmp_path: Path) -> None:
    fill(str(tmp_path), "a/1.jpg", "b/1.jpg")
    (tmp_path / "a/all").symlink_to(tmp_path)
    (tmp_path / "b/again").symlink_to(".")
    make_folders(tmp_path, {".elsewhere": 2})
    (tmp_path / "b/more").symlink_to(tmp_path / ".elsewhere")
    assert [item.key for item in find(str(tmp_path)).splits["train"]] == [
        "a/1.jpg",
        "b/1.jpg",
        "b/more/0000.png",
        "b/more/0001.png",
    ]


def test_names_that_are_not_utf8_or_hold_a_line_end(tmp_path: Path) -> None:
    fill(str(tmp_path), "a/1.jpg", "b/1.jpg")
    Path(os.fsdecode(bytes(tmp_path) + b"/a/caf\xe9.jpg")).write_bytes(b"x")
    Path(os.fsdecode(bytes(tmp_path) + b"/b/caf\xe9\n.md")).write_bytes(b"x")
    source = find(str(tmp_path))
    assert [source.load(item) for item in source.splits["train"]] == [b"x"] * 3
    assert source.ignored == NamesAndCount(1, ("b/caf\\udce9\\n.md",))


def test_a_folder_is_listed_without_a_look_at_each_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(str(tmp_path), *(f"{name}/{number}.jpg" for name in "ab" for number in range(100)))
    looked: list[object] = []

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def look(*arguments: object, **options: object) -> object:
            looked.append(arguments)
            return real(*arguments, **options)

        return look

    for name in ("stat", "lstat"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    assert len(find(str(tmp_path)).splits["train"]) == 200
    assert len(looked) < 50


def test_a_single_class_and_single_images_are_told_of(tmp_path: Path) -> None:
    one = find(fill(str(tmp_path), "a/1.jpg", "a/2.jpg"), one_class=True)
    assert one.warnings == ("all images are of one class, a",)
    assert find(fill(str(tmp_path), "b/1.jpg", "c/1.jpg")).warnings == (
        "one training image only: 2 classes (b, c)",
    )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["README.md"], "found no labels: no class folders .* Put the images of each class into a folder"),
        (
            ["1.jpg", "2.jpg"],
            r"found no labels: no class folders .* no label list .*\.mat, category.txt or data_",
        ),
        (["train/1.jpg", "test/1.jpg"], "test, train: expected class folders in these, found images"),
        (["x/a/1.jpg", "x/b/1.jpg"], "all images are in one folder, x, which holds a, b. .* give .*/x$"),
        (["a/1.jpg", "b/notes.txt"], r"/b: the class has no images \(.jpg.*Add images, or remove the folder"),
        (["a/1.jpg", "b/1.jxl", "b/2.JXL", "b/3"], r"/b: .*heif\), but 2 .jxl, 1 files without a suffix"),
        (["train/a/1.jpg", "test/a/1.jpg", "test/b/1.jpg"], "test/b: the class 'b' has no training images"),
        (
            ["train/a/1.jpg", "val/a/1.jpg", "valid/a/1.jpg"],
            "expected train, validation .* found train, val, valid",
        ),
        (["train/a/1.jpg", "extra/a/1.jpg"], "found extra, train. Say which"),
    ],
)
def test_what_is_wrong_is_one_line(store_url: str, keys: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        find(fill(store_url, *keys))
    assert error.value.exit_code == EXIT_INVALID
    assert "\n" not in str(error.value)


def test_an_empty_folder_and_an_empty_class_on_disk(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected images, found nothing"):
        find(str(tmp_path))
    (tmp_path / "cat").mkdir()
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog/1.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match=r"/cat: the class has no images"):
        find(str(tmp_path))


def test_a_source_that_is_not_there(store_url: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder|found nothing"):
        find(f"{store_url}/missing")


def test_a_photo_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match=r"1\.jpg: expected a folder of images, found a file"):
        find(f"{tmp_path}/1.jpg")


def test_a_bucket_that_is_not_there(s3: str) -> None:
    with pytest.raises(DataError, match=r"s3://there-is-no-such-bucket"):
        find("s3://there-is-no-such-bucket/x")


CONVENTIONS = {
    "folders": ["a/1.jpg", "b/1.jpg"],
    "prefix": ["cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.10.jpg"],
    "suffix": ["0001_cat.jpg", "0002_cat.jpg", "0003_dog.jpg", "0004_dog.jpg"],
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_the_convention_that_fits_is_found(tmp_path: Path, name: str) -> None:
    fill(str(tmp_path), *CONVENTIONS[name])
    assert find(str(tmp_path)).labels == find(str(tmp_path), name).labels == name


def test_where_several_fit_the_error_names_them(tmp_path: Path) -> None:
    fill(str(tmp_path), "a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg")
    (tmp_path / "labels.csv").write_text("filename,label\n1.jpg,x\n2.jpg,y\n3.jpg,x\n4.jpg,y\n")
    with pytest.raises(DataError, match=r"kinds folders, list: .*\. Choose with --labels folders"):
        find(str(tmp_path))
    assert find(str(tmp_path), "folders").classes == ("a", "b")
    assert find(str(tmp_path), "list").classes == ("x", "y")


def test_one_folder_of_images_is_no_class_where_a_list_has_the_labels(tmp_path: Path) -> None:
    fill(str(tmp_path), "images/1.jpg", "images/2.jpg")
    (tmp_path / "labels.csv").write_text("1.jpg,cat\n2.jpg,dog\n")
    source = find(str(tmp_path))
    assert (source.labels, source.classes) == ("list", ("cat", "dog"))


@pytest.mark.parametrize("name", NAMES)
def test_a_convention_that_does_not_fit_says_so_in_one_line(store_url: str, name: str) -> None:
    fill(store_url, "one.jpg", "two.jpg")
    with pytest.raises(DataError, match="expected ") as error:
        find(store_url, name)
    assert "\n" not in str(error.value)


def test_a_kind_that_is_not_there_and_boxes_where_there_are_none(tmp_path: Path) -> None:
    fill(str(tmp_path), "a/1.jpg", "b/1.jpg")
    with pytest.raises(ConfigError, match=r"--labels: expected folders, list, .*, received 'folder'"):
        find(str(tmp_path), "folder")
    with pytest.raises(
        ConfigError, match=r"--crop: .* folders, without bounding boxes \(kinds with: stanford-cars, uec"
    ):
        find(str(tmp_path), crop=True)
