"""The disk cache serves the store's bytes or none, whatever happens to its folder."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import pytest

from trainer.storage import Store, open_store
from trainer.storage.cached_store import CachedStore
from trainer.storage.disk_cache import DiskCache, block_name

BLOCK = 1000
CONTENT = Random(1).randbytes(10_500)
GIVEN = 1 << 30


class Counted:
    """A store that counts the ranges it is asked for."""

    def __init__(self, store: Store, seconds: float = 0.0) -> None:
        self.store, self.url, self.seconds = store, store.url, seconds
        self.ranges: list[tuple[int, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def get_range(self, key: str, start: int, stop: int, **options: Any) -> memoryview:
        self.ranges.append((start, stop))
        time.sleep(self.seconds)
        return self.store.get_range(key, start, stop, **options)


class Cached:
    """An object of `CONTENT` behind a cache."""

    def __init__(self, root: Path, folder: Path, max_bytes: int = GIVEN, seconds: float = 0.0) -> None:
        self.counted = Counted(open_store(str(root)), seconds)
        self.etag = (
            self.counted.put("k", CONTENT) if not (root / "k").exists() else self.counted.stat("k").etag
        )
        self.folder = folder
        self.again(max_bytes)

    def again(self, max_bytes: int = GIVEN) -> None:
        """As after a restart of the process."""
        self.cache = DiskCache(self.folder, max_bytes)
        self.store = CachedStore(self.counted, self.cache, BLOCK)
        self.counted.ranges.clear()

    def read(self, start: int = 0, stop: int = len(CONTENT)) -> bytes:
        return bytes(self.store.get_range("k", start, stop, etag=self.etag))

    @property
    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("??/*") if path.suffix != ".tmp")

    @property
    def used(self) -> int:
        return sum(path.stat().st_size for path in self.files)


@pytest.fixture
def cached(tmp_path: Path) -> Cached:
    return Cached(tmp_path / "store", tmp_path / "cache")


def test_each_block_is_fetched_once_and_read_from_disk_then(cached: Cached) -> None:
    random = Random(2)
    assert cached.read(1500, 3500) == CONTENT[1500:3500]
    assert cached.counted.ranges == [(1000, 2000), (2000, 3000), (3000, 4000)]
    for _ in range(300):
        start, stop = sorted((random.randrange(len(CONTENT)), random.randrange(len(CONTENT))))
        assert cached.read(start, stop) == CONTENT[start:stop]
    assert cached.read() == CONTENT
    assert len(cached.counted.ranges) == 11
    assert cached.cache.counters.misses == 11
    cached.again()
    assert cached.read() == CONTENT
    assert cached.counted.ranges == []
    assert (cached.cache.counters.hits, cached.cache.counters.bytes_read) == (11, len(CONTENT))


def test_another_version_of_an_object_has_blocks_of_its_own(cached: Cached, tmp_path: Path) -> None:
    cached.read()
    other = CONTENT[::-1]
    etag = cached.counted.put("k", other)
    assert bytes(cached.store.get_range("k", 0, len(other), etag=etag)) == other
    assert cached.read() == CONTENT, "pinned, and still in the cache"


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes()[:500]),
        lambda path: path.write_bytes(path.read_bytes() + b"!"),
        lambda path: path.write_bytes(os.urandom(path.stat().st_size)),
        lambda path: path.write_bytes(bytes(path.stat().st_size)),
        lambda path: path.write_bytes(b"?" + path.read_bytes()[1:]),
    ],
    ids=["empty", "a byte short", "torn", "longer", "garbage", "zeros", "one byte"],
)
def test_a_damaged_block_is_fetched_again(cached: Cached, damage: Callable[[Path], object]) -> None:
    cached.read()
    for path in cached.files:
        damage(path)
    cached.again()
    assert cached.read() == CONTENT
    assert len(cached.counted.ranges) == cached.cache.counters.damaged == 11
    cached.again()
    assert cached.read() == CONTENT
    assert cached.counted.ranges == []


def test_a_block_cut_off_while_the_process_lives_is_fetched_again(cached: Cached) -> None:
    cached.read()
    for path in cached.files:
        os.truncate(path, 10)
    assert cached.read() == CONTENT
    for path in cached.files:
        path.unlink()
    assert cached.read() == CONTENT


def test_the_least_recently_used_leave_and_the_limit_holds(tmp_path: Path) -> None:
    cached = Cached(tmp_path / "store", tmp_path / "cache", max_bytes=5200)
    cached.read(0, 2000)
    for path in cached.files:
        os.utime(path, (1, 1))
    for start in range(2000, 10_000, 1000):
        cached.read(start, start + 1000)
        assert cached.used <= 5200
    cached.counted.ranges.clear()
    cached.read(9000, 10_000)
    assert cached.counted.ranges == []
    cached.read(0, 1000)
    assert cached.counted.ranges == [(0, 1000)]


def test_what_was_read_again_stays(tmp_path: Path) -> None:
    cached = Cached(tmp_path / "store", tmp_path / "cache", max_bytes=5200)
    cached.read(0, 4000)
    for age, path in enumerate(cached.files):
        os.utime(path, (age, age))
    cached.again(5200)
    cached.read(0, 1000)
    cached.read(5000, 7000)
    cached.counted.ranges.clear()
    cached.read(0, 1000)
    assert cached.counted.ranges == []


def test_a_cache_smaller_than_a_block_reads_through(tmp_path: Path) -> None:
    cached = Cached(tmp_path / "store", tmp_path / "cache", max_bytes=500)
    assert cached.read() == CONTENT
    assert cached.files == []


def test_threads_that_ask_for_the_same_block_wait_for_one_of_them(tmp_path: Path) -> None:
    cached = Cached(tmp_path / "store", tmp_path / "cache", seconds=0.05)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: cached.read(100, 900), range(8)))
    assert found == [CONTENT[100:900]] * 8
    assert cached.counted.ranges == [(0, 1000)]


SHARED = """
import sys
from pathlib import Path
from tests.storage.test_disk_cache import CONTENT, Cached
cached = Cached(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), seconds=0.01)
for _ in range(5):
    assert cached.read() == CONTENT
print(len(cached.counted.ranges))
"""


@pytest.mark.parametrize("max_bytes", [GIVEN, 4000])
def test_processes_share_it(tmp_path: Path, max_bytes: int) -> None:
    Cached(tmp_path / "store", tmp_path / "cache")
    command = [sys.executable, "-c", SHARED, str(tmp_path / "store"), str(tmp_path / "cache"), str(max_bytes)]
    ranks = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    fetched = sum(int(rank.communicate()[0]) for rank in ranks)
    assert all(rank.returncode == 0 for rank in ranks)
    if max_bytes == GIVEN:
        assert fetched == 11


def test_a_full_disk_is_read_through_and_said_once(
    tmp_path: Path, small_disk: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    disk = small_disk("16k")
    (disk / "ballast").write_bytes(bytes(10_000))
    cached = Cached(tmp_path / "store", disk / "cache")
    for _ in range(3):
        assert cached.read() == CONTENT
    assert caplog.text.count("nothing more is cached in") == 1
    assert "No space left on device" in caplog.text
    assert not list(disk.glob("cache/??/*.tmp"))


def test_a_folder_that_cannot_be_written_is_read_through(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file")
    cached = Cached(tmp_path / "store", tmp_path / "cache")
    assert cached.read() == CONTENT
    assert caplog.text.count("nothing more is cached in") == 1


def test_leftovers_of_killed_writers_go(cached: Cached) -> None:
    cached.read(0, 1000)
    (path,) = cached.files
    old, young = path.with_name("1.tmp"), path.with_name("2.tmp")
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    os.utime(old, (1, 1))
    cached.again()
    cached.read()
    assert not old.exists()
    assert young.exists()


def test_a_fetch_that_fails_leaves_nothing_and_blocks_nobody(cached: Cached) -> None:
    def fail() -> memoryview:
        raise ConnectionError("reset")

    name = block_name("u", "e", 0)
    with pytest.raises(ConnectionError):
        cached.cache.read(name, 0, 10, memoryview(bytearray(10)), fail)
    view = memoryview(bytearray(10))
    done = threading.Event()

    def read() -> None:
        cached.cache.read(name, 0, 10, view, lambda: memoryview(CONTENT))
        done.set()

    threading.Thread(target=read, daemon=True).start()
    assert done.wait(10)
    assert bytes(view) == CONTENT[:10]


def test_without_an_etag_nothing_is_cached(cached: Cached) -> None:
    assert bytes(cached.store.get_range("k", 0, 100)) == CONTENT[:100]
    assert cached.store.get("k") == CONTENT
    assert hashlib.sha256(cached.read()).digest() == hashlib.sha256(CONTENT).digest()
