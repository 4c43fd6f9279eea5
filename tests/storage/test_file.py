"""What a folder must do to be as good as an object store."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trainer.storage import ObjectChanged, file, open_store


def test_a_file_changed_in_place_is_noticed(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    etag = store.put("k", b"0123456789")
    with (tmp_path / "k").open("r+b") as file:
        file.write(b"x")
    os.utime(tmp_path / "k", ns=(1, 1))
    with pytest.raises(ObjectChanged):
        store.get_range("k", 0, 3, etag=etag)


def test_a_writer_killed_half_way_leaves_no_object(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put("k", b"before")
    script = f"""
import os, signal
from trainer.storage import open_store
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
open_store({str(tmp_path)!r}).put("k", b"after")
"""
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    assert [info.key for info in store.list()] == ["k"]
    assert store.get("k") == b"before"


def test_what_killed_writers_left_goes_when_it_is_old(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put("a/b/k", b"object")
    left = [
        tmp_path / folder / f".{number:032x}.tmp" for number, folder in enumerate((".", "a", "c/d", "a/b"))
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
        os.utime(path, (100, 100))
    os.utime(left[3], (200, 200))
    store.remove_leftovers(before=150)
    assert [path for path in left if path.exists()] == left[3:]
    assert not (tmp_path / "c/d").exists()
    assert store.get("a/b/k") == b"object"


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=f"^file://{tmp_path}/a/k: cannot be written: No space left on device$"):
        open_store(str(tmp_path)).put("a/k", b"x")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_object_cannot_also_be_a_folder(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put("a", b"x")
    store.put("b/c", b"x")
    for key in ("a/b", "b"):
        with pytest.raises(OSError, match=f"^file://{tmp_path}/{key}: cannot be written"):
            store.put(key, b"x")
    with pytest.raises(FileNotFoundError):
        store.get("a/b")
    assert [info.key for info in store.list()] == ["a", "b/c"]


def test_deleting_leaves_no_empty_folders_and_does_not_trip_writers(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))

    def churn(number: int) -> None:
        for _ in range(50):
            store.put(f"a/b/{number}", b"x")
            store.delete(f"a/b/{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(churn, range(4)))
    assert list((tmp_path / "store").iterdir()) == []


def test_linked_folders_and_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.jpg").write_bytes(b"x")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train").symlink_to("../images")
    (tmp_path / "data" / "one.jpg").symlink_to("../images/1.jpg")
    assert [info.key for info in open_store(f"{tmp_path}/data").list()] == ["one.jpg", "train/1.jpg"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_rights_is_named(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(b"x")
    (tmp_path / "k").chmod(0)
    with pytest.raises(PermissionError, match=f"^file://{tmp_path}/k: Permission denied$"):
        open_store(str(tmp_path)).get("k")


def test_an_etag_on_fuse_is_the_same_after_a_mount_that_gave_out_other_inodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path))
    before = store.put("k", b"0123456789")
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts.write_text(f"43 27 {number} / /mnt rw,nosuid,nodev,relatime - fuse.s3fs s3fs rw,user_id=0\n")
    monkeypatch.setattr(file, "_MOUNTS", mounts)
    file._is_fuse.cache_clear()
    try:
        on_fuse = store.stat("k").etag
        again = tmp_path / "again"
        again.write_bytes(b"0123456789")
        os.utime(again, ns=(0, (tmp_path / "k").stat().st_mtime_ns))
        again.rename(tmp_path / "k")
        assert store.stat("k").etag == on_fuse != before
    finally:
        file._is_fuse.cache_clear()


def test_a_disk_that_fills_up_within_a_file_is_an_error(
    small_disk: Callable[[str], Path], tmp_path: Path
) -> None:
    """The system then writes a part, and says nothing."""
    (tmp_path / "large").write_bytes(bytes(60_000))
    store = open_store(str(small_disk("16k")))
    with pytest.raises(OSError, match="large: cannot be written: No space left on device"):
        store.put_file("large", tmp_path / "large")
    assert not list(store.list())
