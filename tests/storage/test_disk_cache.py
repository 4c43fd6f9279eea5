"""The disk cache serves the store's bytes or none, whatever happens to its folder."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from trainer.storage.disk_cache import DiskCache

BLOCK = 1000
CONTENT = Random(1).randbytes(10_500)
GIVEN = 1 << 30


class Cached:
    """An object of `CONTENT` behind a cache."""

    def __init__(self, folder: Path, max_bytes: int = GIVEN, seconds: float = 0.0) -> None:
        self.folder, self.seconds = folder, seconds
        self.fetched: list[tuple[int, int]] = []
        self.again(max_bytes)

    def again(self, max_bytes: int = GIVEN) -> None:
        """As after a restart of the process."""
        self.cache = DiskCache(self.folder, max_bytes)
        self.fetched.clear()

    def fetch(self, start: int, stop: int) -> memoryview:
        self.fetched.append((start, stop))
        time.sleep(self.seconds)
        return memoryview(CONTENT)[start:stop]

    def read(self, start: int = 0, stop: int = len(CONTENT), version: str = "v1") -> bytes:
        first, last = start // BLOCK * BLOCK, min(-(-stop // BLOCK) * BLOCK, len(CONTENT))
        blocks = [(block, min(block + BLOCK, len(CONTENT))) for block in range(first, last, BLOCK)]
        into = bytearray(stop - start)
        self.cache.read(version, blocks, start, stop, memoryview(into), self.fetch)
        return bytes(into)

    @property
    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("??/*") if path.suffix != ".tmp")

    @property
    def used(self) -> int:
        return sum(path.stat().st_size for path in self.files)


@pytest.fixture
def cached(tmp_path: Path) -> Cached:
    return Cached(tmp_path / "cache")


def test_each_block_is_fetched_once_and_read_from_disk_then(cached: Cached) -> None:
    random = Random(2)
    assert cached.read(1500, 3500) == CONTENT[1500:3500]
    assert cached.fetched == [(1000, 4000)], "in one request"
    cached.read(0, 6000)
    assert cached.fetched[1:] == [(0, 1000), (4000, 6000)], "and only what is not there"
    for _ in range(300):
        start, stop = sorted((random.randrange(len(CONTENT)), random.randrange(len(CONTENT))))
        assert cached.read(start, stop) == CONTENT[start:stop]
    assert cached.read() == CONTENT
    assert cached.cache.counters.misses == 11
    cached.again()
    assert cached.read() == CONTENT
    assert cached.fetched == []
    assert (cached.cache.counters.hits, cached.cache.counters.bytes_read) == (11, len(CONTENT))


def test_another_version_of_an_object_has_blocks_of_its_own(cached: Cached) -> None:
    cached.read()
    cached.fetched.clear()
    cached.read(version="v2")
    assert cached.fetched == [(0, len(CONTENT))]


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
    assert cached.cache.counters.misses == cached.cache.counters.damaged == 11
    cached.again()
    assert cached.read() == CONTENT
    assert cached.fetched == []


def test_a_block_cut_off_while_the_process_lives_is_fetched_again(cached: Cached) -> None:
    cached.read()
    for path in cached.files:
        os.truncate(path, 10)
    assert cached.read() == CONTENT
    for path in cached.files:
        path.unlink()
    assert cached.read() == CONTENT


def test_the_least_recently_used_leave_and_the_limit_holds(tmp_path: Path) -> None:
    cached = Cached(tmp_path / "cache", max_bytes=5200)
    cached.read(0, 2000)
    for path in cached.files:
        os.utime(path, (1, 1))
    for start in range(2000, 10_000, 1000):
        cached.read(start, start + 1000)
        assert cached.used <= 5200
    cached.fetched.clear()
    cached.read(9000, 10_000)
    assert cached.fetched == []
    cached.read(0, 1000)
    assert cached.fetched == [(0, 1000)]


def test_what_was_read_again_stays(tmp_path: Path) -> None:
    cached = Cached(tmp_path / "cache", max_bytes=5200)
    cached.read(0, 4000)
    for age, path in enumerate(cached.files):
        os.utime(path, (age, age))
    cached.again(5200)
    cached.read(0, 1000)
    cached.read(5000, 7000)
    cached.fetched.clear()
    cached.read(0, 1000)
    assert cached.fetched == []


def test_a_cache_smaller_than_a_block_reads_through(tmp_path: Path) -> None:
    cached = Cached(tmp_path / "cache", max_bytes=500)
    assert cached.read() == CONTENT
    assert cached.files == []


def test_threads_that_ask_for_the_same_block_wait_for_one_of_them(tmp_path: Path) -> None:
    cached = Cached(tmp_path / "cache", seconds=0.05)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: cached.read(100, 900), range(8)))
    assert found == [CONTENT[100:900]] * 8
    assert cached.fetched == [(0, 1000)]


SHARED = """
import sys
from pathlib import Path
from tests.storage.test_disk_cache import CONTENT, Cached
cached = Cached(Path(sys.argv[1]), int(sys.argv[2]), seconds=0.01)
for _ in range(5):
    assert cached.read() == CONTENT
print(cached.cache.counters.misses)
"""


@pytest.mark.parametrize("max_bytes", [GIVEN, 4000])
def test_processes_share_it(tmp_path: Path, max_bytes: int) -> None:
    command = [sys.executable, "-c", SHARED, str(tmp_path / "cache"), str(max_bytes)]
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
    cached = Cached(disk / "cache")
    for _ in range(3):
        assert cached.read() == CONTENT
    assert caplog.text.count("caching in") == 1
    assert "No space left on device" in caplog.text
    assert not list(disk.glob("cache/??/*.tmp"))


def test_a_folder_that_cannot_be_written_is_read_through(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file")
    cached = Cached(tmp_path / "cache")
    assert cached.read() == CONTENT
    assert caplog.text.count("caching in") == 1


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
    def fail(start: int, stop: int) -> memoryview:
        raise ConnectionError("reset")

    with pytest.raises(ConnectionError):
        cached.cache.read("v1", [(0, 10)], 0, 10, memoryview(bytearray(10)), fail)
    done = threading.Event()

    def read() -> None:
        cached.read(0, 10)
        done.set()

    threading.Thread(target=read, daemon=True).start()
    assert done.wait(10)
