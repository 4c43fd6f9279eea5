"""Starts of `prepare` that were killed, stopped, or met another one: the next goes on, nothing is mixed."""

import errno
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.datasets import make_folders
from tests.interrupted import send, start, temporary_files
from tests.preparation.killed_starts import OPTIONS, named, whole
from trainer.errors import ConfigError, DataError
from trainer.preparation import prepare as module
from trainer.preparation.prepare import prepare
from trainer.preparation.prepared import PreparedDataset
from trainer.preparation.shard_writer import Writer
from trainer.preparation.target import Target
from trainer.storage import open_store
from trainer.storage.file import FileStore


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """26 images: five shards of at most ten, with these options."""
    return make_folders(tmp_path / "images", {"cat": 12, "dog": 8, "owl": 6})


def prepared(folders: Path, url: str, **options: Any) -> PreparedDataset:
    return prepare(str(folders), url, **{**OPTIONS, **options})


def killed_at(folders: Path, url: str, *moments: int) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.preparation.killed_starts", str(folders), url, *map(str, moments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_killed_start_goes_on_and_makes_the_same_dataset(folders: Path, tmp_path: Path) -> None:
    identity = prepared(folders, str(tmp_path / "undisturbed")).identity
    told = killed_at(folders, str(tmp_path / "made"), 2, 4, 5, 9, 12)
    assert all(one["killed"] and one["after"] == identity for one in told), told
    assert [one["resumed"] for one in told] == [0, 10, 20, 26, 26]
    # Before its last change, the deletion of a record, the dataset was committed.
    assert [one["between"] for one in told] == [None] * 4 + [identity]
    assert all(one["clean"] for one in told), told


def test_so_it_does_on_s3(folders: Path, tmp_path: Path, s3: str) -> None:
    identity = prepared(folders, str(tmp_path / "undisturbed")).identity
    for one in killed_at(folders, f"{s3}/made", 8):
        assert (one["killed"], one["between"], one["after"], one["clean"]) == (True, None, identity, True)
        assert one["resumed"]


def test_while_a_dataset_is_replaced_it_is_the_old_or_the_new_one_at_any_moment(
    folders: Path, tmp_path: Path
) -> None:
    url = str(tmp_path / "made")
    old = prepared(folders, url, seed=5).identity
    new = prepared(folders, str(tmp_path / "other")).identity
    told = killed_at(folders, url, 3, 11)
    assert told[0]["between"] == old != new
    for one in told:
        assert (one["killed"], one["after"], one["clean"]) == (True, new, True)
        assert one["between"] in (old, new)
    prepared(folders, url, seed=5, overwrite=True)
    told = killed_at(folders, url, 11, 12, 16)
    assert [one["between"] for one in told] == [old, new, new]
    assert all(one["killed"] and one["after"] == new and one["clean"] for one in told), told


def stopped_at(monkeypatch: pytest.MonkeyPatch, start: str, error: BaseException) -> None:
    """The store fails when a key that starts so is put."""
    original = FileStore.put_file

    def failing(self: FileStore, key: str, path: Path) -> str:
        if key.startswith(start):
            raise error
        return original(self, key, path)

    monkeypatch.setattr(FileStore, "put_file", failing)


def full_disk() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_what_is_finished_and_other_options_start_anew(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = str(tmp_path / "made")
    with monkeypatch.context() as patched:
        stopped_at(patched, "train/00001-", full_disk())
        with pytest.raises(OSError, match="No space left"):
            prepared(folders, url)
    keys = [info.key for info in open_store(url).list()]
    assert [key.split("/")[0] for key in keys] == ["preparing", "train"]
    other = prepared(folders, url, seed=7)
    assert other.resumed == 0
    assert named(url)
    assert whole(url) == other.identity


def test_images_that_changed_meanwhile_are_read_again(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = str(tmp_path / "made")
    with monkeypatch.context() as patched:
        stopped_at(patched, "train/00001-", full_disk())
        with pytest.raises(OSError, match="No space left"):
            prepared(folders, url)
    (folders / "cat/0001.png").write_bytes((folders / "dog/0001.png").read_bytes())
    made = prepared(folders, url)
    assert made.resumed == 0
    assert made.identity == prepared(folders, str(tmp_path / "other")).identity


def test_garbage_and_foreign_objects_are_no_finished_shards(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = str(tmp_path / "made")
    store = open_store(url)
    with monkeypatch.context() as patched:
        stopped_at(patched, "validation/00000-", full_disk())
        with pytest.raises(OSError, match="No space left"):
            prepared(folders, url)
    _first, second = (info.key for info in store.list("preparing/"))
    store.put("train/mine.h5", b"mine")
    store.put("preparing/notes.txt", b"mine")
    record = store.get(second)
    store.put(second, record[: len(record) // 2])
    assert prepared(folders, url).resumed == 10
    assert {info.key for info in store.list()} > {"train/mine.h5", "preparing/notes.txt"}
    store.delete("train/mine.h5")
    store.delete("preparing/notes.txt")
    assert named(url)
    assert whole(url)


def test_two_starts_at_once_one_wins_whole_and_the_other_is_told(
    folders: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have written everything when the first of them commits; one after the other, since moto's
    conditional writes are none between two threads."""
    together, in_turn = threading.Barrier(2), threading.Lock()
    original = Target.commit

    def both_first(*arguments: Any) -> str:
        together.wait(30)
        with in_turn:
            return original(*arguments)

    monkeypatch.setattr(Target, "commit", both_first)
    ends: dict[int, Any] = {}

    def one(seed: int) -> None:
        try:
            ends[seed] = prepared(folders, store_url, seed=seed).identity
        except ConfigError as error:
            ends[seed] = error

    threads = [threading.Thread(target=one, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (identity,) = [end for end in ends.values() if isinstance(end, str)]
    (error,) = [end for end in ends.values() if isinstance(end, ConfigError)]
    assert "another dataset was prepared here in the meantime" in str(error)
    assert whole(store_url) == identity
    assert named(store_url)


def test_the_same_start_twice_at_once_is_no_mixture_either(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second uses the first one's shards, and the first commits while the second still writes."""
    url = str(tmp_path / "made")
    with monkeypatch.context() as patched:
        stopped_at(patched, "train/00001-", full_disk())
        with pytest.raises(OSError, match="No space left"):
            prepared(folders, url)
    original = Target.check_whole
    inner: list[PreparedDataset] = []

    def meanwhile(target: Target, *arguments: Any) -> None:
        monkeypatch.setattr(Target, "check_whole", original)
        inner.append(prepared(folders, url))
        original(target, *arguments)

    monkeypatch.setattr(Target, "check_whole", meanwhile)
    with pytest.raises(ConfigError, match=r"another dataset was prepared here in the meantime"):
        prepared(folders, url)
    assert inner[0].resumed == 26
    assert whole(url) == inner[0].identity


def test_an_answer_that_was_lost_is_no_other_dataset(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = FileStore.put

    def twice(self: FileStore, key: str, *arguments: Any, **options: Any) -> str:
        if key == "dataset.json":  # as a retry does, whose first try arrived
            original(self, key, *arguments, **options)
        return original(self, key, *arguments, **options)

    monkeypatch.setattr(FileStore, "put", twice)
    made = prepared(folders, str(tmp_path / "made"))
    assert whole(str(tmp_path / "made")) == made.identity
    replaced = prepared(folders, str(tmp_path / "made"), seed=4, overwrite=True)
    assert whole(str(tmp_path / "made")) == replaced.identity != made.identity
    assert named(str(tmp_path / "made"))


def test_what_is_invalid_leaves_nothing_and_the_old_dataset_whole(folders: Path, store_url: str) -> None:
    old = prepared(folders, store_url).identity
    before = {info.key for info in open_store(store_url).list()}
    (folders / "owl/0005.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"owl/0005.png: not an image"):
        prepared(folders, store_url, overwrite=True)
    assert whole(store_url) == old
    assert {info.key for info in open_store(store_url).list()} == before


def test_a_start_that_fails_leaves_the_shards_that_another_has_taken(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one takes them, and is about to commit, when the first finds an image that is bad."""
    url = str(tmp_path / "made")
    original, commit = module._write, Target.commit
    first: list[str] = []

    def failing(*arguments: Any) -> Any:
        original(*arguments)
        monkeypatch.setattr(module, "_write", original)
        monkeypatch.setattr(Target, "commit", late)
        assert prepared(folders, url).resumed == 26
        raise AssertionError("the error of the first comes first")

    def late(*arguments: Any) -> str:
        first.append("is undone")
        writers[0].undo(finished=True)
        return commit(*arguments)

    writers: list[Any] = []

    def kept(*arguments: Any, **options: Any) -> Any:
        writers.append(Writer(*arguments, **options))
        return writers[-1]

    monkeypatch.setattr(module, "Writer", kept)
    monkeypatch.setattr(module, "_write", failing)
    with pytest.raises(AssertionError, match="comes first"):
        prepared(folders, url)
    assert first
    assert whole(url)


def test_asked_to_stop_it_says_that_it_goes_on_and_so_it_does(tmp_path: Path) -> None:
    """Shards of 16 images of 256x256."""
    folders, url = make_folders(tmp_path / "images", {"cat": 200, "dog": 200}), str(tmp_path / "made")
    command = ["prepare", str(folders), url, "--image-size", "256", "--shard-size", "1MiB", "--json"]
    process = start(*command, TMPDIR=str(tmp_path))
    while process.poll() is None and not list((tmp_path / "made").glob("preparing/*/*.npz")):
        time.sleep(0.001)
    code, output, errors = send(process, signal.SIGTERM)
    assert (code, output) == (75, "")
    first, interrupted = errors.splitlines()
    assert first.endswith(" reading the images")
    assert interrupted == "trainer: error: interrupted. Restart it to resume"
    assert not temporary_files(tmp_path)
    again = start(*command)
    assert json.loads(again.communicate()[0])["resumed"] >= 16
    assert named(url)
    assert whole(url)
