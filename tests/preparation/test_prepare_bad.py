"""Images that cannot be used, and images that are there twice."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.commands import trainer
from tests.datasets import make_folders
from tests.documents import assert_document
from trainer.dataset.open_dataset import open_dataset
from trainer.errors import ConfigError, DataError
from trainer.images.decoding import Decoder
from trainer.preparation.bad_images import BadImagesReport
from trainer.preparation.duplicates import Seen, find_duplicates
from trainer.preparation.labels import LabelledImage, LabelledImages
from trainer.preparation.prepare import prepare
from trainer.storage import open_store


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    return make_folders(tmp_path / "images", {"cat": 40, "dog": 24, "owl": 16})


@pytest.fixture
def broken(folders: Path) -> Path:
    """Of 80 images four are bad, each in its own way."""
    (folders / "cat/0001.png").write_bytes(b"not an image")
    (folders / "dog/0002.png").write_bytes((folders / "dog/0002.png").read_bytes()[:60])
    (folders / "owl/0003.png").unlink()
    (folders / "owl/0003.png").symlink_to("nowhere.png")
    (folders / "owl/0004.png").unlink()
    (folders / "owl/0004.png").symlink_to("0004.png")
    return folders


BROKEN = {
    "cat/0001.png": "not an image in one of the formats",
    "dog/0002.png": "corrupt image",
    "owl/0003.png": "the file was deleted, or is a broken symlink",
    "owl/0004.png": "cannot be read (Too many levels of symbolic links)",
}


def test_all_bad_images_are_named_at_once_and_nothing_is_left(broken: Path, store_url: str) -> None:
    with pytest.raises(DataError, match=r"4 of 80 images cannot be used: .*or give --on-bad skip") as error:
        prepare(str(broken), store_url, shard_bytes=600, rows_of_chunk=2)
    for name, reason in BROKEN.items():
        assert f"{name}: {reason}" in str(error.value)
    assert not list(open_store(store_url).list())


def test_bad_images_of_every_kind_are_skipped_where_asked(broken: Path, tmp_path: Path) -> None:
    made = prepare(str(broken), str(tmp_path / "made"), on_bad="skip")
    assert sum(made.rows.values()) == 76
    found = dict(line.split(": ", 1) for line in made.skipped)
    assert found.keys() == BROKEN.keys()
    assert all(found[name].startswith(reason) for name, reason in BROKEN.items())


def test_too_many_bad_images_stop_it(broken: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"3 of 80 images cannot be used, more than --max-bad 0.03 allows"):
        prepare(str(broken), str(tmp_path / "made"), on_bad="skip", max_bad=0.03)
    assert prepare(str(broken), str(tmp_path / "made"), on_bad="skip", max_bad=0.05).rows["train"]


def test_a_long_list_is_named_in_part_and_whole_in_json(folders: Path, tmp_path: Path) -> None:
    for path in (folders / "cat").iterdir():
        path.write_bytes(b"no")
    done = trainer("prepare", str(folders), str(tmp_path / "made"), "--json")
    assert done.returncode == 64
    assert_document(json.loads(done.stdout), BadImagesReport)
    assert len(json.loads(done.stdout)["bad"]) == 40
    assert done.stderr.count("not an image") == 20
    assert "and 20 more. Replace or remove them" in done.stderr


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that every user may enter."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_images_without_rights_are_skipped_where_asked(readable: Path, tmp_path: Path) -> None:
    make_folders(readable / "images", {"cat": 12, "dog": 12})
    (readable / "images/dog/0003.png").chmod(0)
    code = (
        "import os, sys, zipfile, h5py, numpy, PIL.PngImagePlugin\n"
        "from trainer.preparation.prepare import prepare\n"
        "os.seteuid(65534)\n"
        "print(prepare(sys.argv[1], sys.argv[2], on_bad='skip').skipped)"
    )
    (readable / "made").mkdir()
    os.chmod(readable / "made", 0o777)
    done = subprocess.run(
        [sys.executable, "-c", code, str(readable / "images"), str(readable / "made")],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "('dog/0003.png: cannot be read (Permission denied)',)\n", done.stderr


def test_a_store_that_refuses_is_no_bad_image(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an access key that expires would leave out all images from then on."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    source = LabelledImages(open_store(s3), ("cat",), {}, "folders")
    decoder = Decoder(source, (8, 8), "squash", 2)
    with pytest.raises(PermissionError):
        list(decoder.decode([LabelledImage("cat/0001.png", 0)]))


def test_copies_are_told_and_never_lie_in_two_splits(tmp_path: Path) -> None:
    folders = make_folders(
        tmp_path / "images", {f"{split}/{name}": 6 for split in ("train", "test") for name in "ab"}
    )
    # make_folders draws other pixels for each image.
    shutil.copy(folders / "train/a/0000.png", folders / "train/a/copy.png")
    shutil.copy(folders / "train/a/0001.png", folders / "train/b/copy.png")
    shutil.copy(folders / "train/b/0002.png", folders / "test/b/copy.png")
    made = prepare(str(folders), str(tmp_path / "made"), validation=0)
    assert made.duplicates.within_classes == 1
    assert len(made.duplicates.over_classes) == 1
    assert "train/b/copy.png" in made.duplicates.over_classes[0]
    assert made.duplicates.left_out == ("test/b/copy.png in test is train/b/0002.png in train",)
    assert made.rows == {"train": 14, "test": 12}
    dataset = open_dataset(str(tmp_path / "made"))
    assert "test/b/copy.png" not in dataset.splits["test"].names(np.arange(12))
    assert dataset.made["duplicates"]["left_out_images"] == 1


def test_a_split_of_copies_alone_is_an_error(tmp_path: Path) -> None:
    folders = make_folders(tmp_path / "images", {"train/a": 3, "train/b": 3})
    shutil.copytree(folders / "train", folders / "test")
    with pytest.raises(DataError, match=r"no image is left for the test split: .* copies of images"):
        prepare(str(folders), str(tmp_path / "made"), validation=0)
    assert not (tmp_path / "made").exists()


def test_contents_that_begin_alike_are_not_the_same() -> None:
    digests = np.zeros((3, 32), np.uint8)
    digests[:, 0], digests[1, 31] = 7, 1
    items = [LabelledImage("a", 0), LabelledImage("b", 0), LabelledImage("c", 1)]
    found = find_duplicates({"train": (items[:2], digests[:2]), "test": (items[2:], digests[2:])})
    assert (found.within_classes, found.over_classes) == (0, ("c is a",))
    assert found.left_out == ("c in test is a in train",)
    seen = Seen()
    seen.add(digests[1:2])
    assert digests[0].tobytes() not in seen
    assert digests[1].tobytes() in seen


@pytest.mark.parametrize("kind", ["1", "P", "LA", "I;16"])
def test_images_of_every_kind_become_rows(kind: str, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(2):
            grey = np.random.default_rng(number + ord(name)).integers(0, 256, (6, 5), np.uint8)
            image = Image.fromarray(grey.astype(np.uint16) * 257) if kind == "I;16" else Image.fromarray(grey)
            image = image if kind == "I;16" else image.convert(kind)
            image.save(tmp_path / "images" / name / f"{number}.png")
    made = prepare(str(tmp_path / "images"), str(tmp_path / "made"), validation=0)
    assert made.rows == {"train": 4}
    assert 90 < open_dataset(str(tmp_path / "made")).splits["train"].mean[0] < 165


def test_a_shard_larger_than_the_memory_is_refused_before_it_fails(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"A shard of .* needs .* of memory, which has .*--shard-size"):
        prepare(str(folders), str(tmp_path / "made"), image_size=(80_000, 80_000), shard_bytes=1 << 60)
    assert not (tmp_path / "made").exists()
