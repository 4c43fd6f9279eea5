"""Blocks of objects on a local disk, shared by processes: a cache that may be lost or damaged at any time."""

import fcntl
import logging
import os
import secrets
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

Block = tuple[int, int]
"""The first byte of a block in its object, and the one after its last."""

_TRAILER = struct.Struct("<8sII")
_MAGIC = b"trblock1"
_TEMPORARY, _LEFTOVER_SECONDS = ".tmp", 3600.0
_LOCKS = 256
_ROOM = 0.95
"""The fraction of its limit to which a full cache is emptied, so that not every new block has to."""
_LOOK_EVERY = 64
"""Blocks written by one process after which it looks at the whole folder again."""
_TOUCH_SECONDS = 60.0
_PAUSE_SECONDS = 60.0
"""How long nothing is written after a write failed."""


@dataclass
class CacheCounters:
    """What a cache did for this process: ranges of blocks that were there, and that were not; bytes served
    from it, blocks that were damaged."""

    hits: int = 0
    misses: int = 0
    bytes_read: int = 0
    damaged: int = 0


class DiskCache:
    """Up to `max_bytes` of blocks in `folder`; the least recently used leave first.

    A block is a file of its content and a checksum, committed by rename. Its checksum is compared when a
    process reads it for the first time, and again once the file was written to; what is damaged is read from
    its source again. Access times tell when a block was used. Where nothing can be
    written, as on a full disk, blocks come from their source, and the log says so once.

    Any number of threads and processes may share a folder; a block that several ask for is fetched once,
    where the file system has locks.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self.counters = CacheCounters()
        self._known: dict[str, _Stamp] = {}
        """Blocks that this process verified -> what their files were then."""
        self._touched: dict[str, float] = {}
        self._lock = threading.Lock()
        self._unlooked = 0
        self._used: int | None = None
        self._paused_until = 0.0
        self._warned = False

    def read(
        self,
        version: str,
        blocks: Sequence[Block],
        start: int,
        stop: int,
        into: memoryview,
        fetch: Callable[[int, int], memoryview],
    ) -> None:
        """Bytes [start, stop) of an object into `into`.

        Args:
            version: a name for the object's content, of letters and digits, at least two.
            blocks: those that hold these bytes, ascending.
            fetch: (start, stop) -> bytes of the object, for blocks that are not here. Those that follow each
                other are fetched at once.
        """
        asked = _Asked(version, start, stop, into)
        missing = [block for block in blocks if not self._hit(asked, block)]
        if not missing:
            return
        with self._only_one({asked.name(block) for block in missing}):
            missing = [block for block in missing if not self._hit(asked, block)]
            with self._lock:
                self.counters.misses += len(missing)
            for run in _runs(missing):
                first, last = run[0][0], run[-1][1]
                content = fetch(first, last)
                for block in run:
                    part = content[block[0] - first : block[1] - first]
                    begin, end = asked.within(block)
                    asked.view(block)[:] = part[begin:end]
                    self._write(asked.name(block), part)

    def _hit(self, asked: "_Asked", block: Block) -> bool:
        name = asked.name(block)
        path = self._path(name)
        begin, end = asked.within(block)
        try:
            with path.open("rb", buffering=0) as file:
                stamp = _stamp(file.fileno())
                whole = self._known.get(name) == stamp or self._whole(file.fileno())
                if not whole or os.preadv(file.fileno(), [asked.view(block)], begin) != end - begin:
                    self._drop(path)
                    return False
                if _stamp(file.fileno()) != stamp:  # written since then
                    self._drop(path)
                    return False
                self._known[name] = stamp
        except FileNotFoundError:
            self._known.pop(name, None)
            return False
        except OSError:  # the disk fails
            self._drop(path)
            return False
        self._touch(name, path)
        with self._lock:
            self.counters.hits += 1
            self.counters.bytes_read += end - begin
        return True

    def _whole(self, file: int) -> bool:
        size = os.fstat(file).st_size - _TRAILER.size
        if size < 0:
            return False
        content = os.pread(file, size + _TRAILER.size, 0)
        magic, length, checksum = _TRAILER.unpack(content[-_TRAILER.size :])
        view = memoryview(content)[:size]
        return bool(magic == _MAGIC and length == size and zlib.crc32(view) == checksum)

    def _drop(self, path: Path) -> None:
        with self._lock:
            self.counters.damaged += 1
        self._known.pop(path.name, None)
        with suppress(OSError):
            path.unlink()

    def _touch(self, block: str, path: Path) -> None:
        now = time.monotonic()
        if now - self._touched.get(block, -_TOUCH_SECONDS) >= _TOUCH_SECONDS:
            self._touched[block] = now
            with suppress(OSError):
                os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))

    def _write(self, block: str, content: memoryview) -> None:
        size = len(content) + _TRAILER.size
        if time.monotonic() < self._paused_until or size > self.max_bytes:
            return
        path = self._path(block)
        temporary = path.with_name(f"{secrets.token_hex(8)}{_TEMPORARY}")
        try:
            self._make_room(size)
            path.parent.mkdir(parents=True, exist_ok=True)
            trailer = _TRAILER.pack(_MAGIC, len(content), zlib.crc32(content))
            with temporary.open("xb", buffering=0) as file:
                for part in (content, memoryview(trailer)):
                    while part:
                        part = part[file.write(part) :]
                stamp = _stamp(file.fileno())
            temporary.replace(path)
        except OSError as error:
            self._cannot_write(error)
            with suppress(OSError):
                temporary.unlink()
            return
        self._known[block], self._touched[block] = stamp, time.monotonic()

    def _cannot_write(self, error: OSError) -> None:
        self._paused_until = time.monotonic() + _PAUSE_SECONDS
        self._used = None
        if not self._warned:
            self._warned = True
            reason = error.strerror or str(error)
            log.warning("caching in %s is paused (%s); reading from the store", self.folder, reason)

    def _make_room(self, size: int) -> None:
        with self._lock:
            self._unlooked += 1
            limit = min(_LOOK_EVERY, 1 + self.max_bytes // (16 * size))
            if self._used is not None and self._unlooked < limit and self._used + size <= self.max_bytes:
                self._used += size
                return
            self._unlooked = 0
            self._used = self._emptied(size) + size

    def _emptied(self, size: int) -> int:
        """Removes the least recently used until `size` more bytes fit; returns the bytes that are left."""
        blocks = []
        now = time.time()
        for path, info in self._files():
            if path.suffix == _TEMPORARY:
                if now - info.st_mtime > _LEFTOVER_SECONDS:
                    with suppress(OSError):
                        path.unlink()
                continue
            blocks.append((info.st_atime, info.st_size, path))
        used = sum(size for _, size, _ in blocks)
        if used + size <= self.max_bytes:
            return used
        blocks.sort(reverse=True)
        while blocks and used + size > self.max_bytes * _ROOM:
            _, bytes_, path = blocks.pop()
            with suppress(OSError):
                path.unlink()
            self._known.pop(path.name, None)
            used -= bytes_
        return used

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for folder in self._folders():
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    with suppress(OSError):
                        yield Path(entry.path), entry.stat()

    def _folders(self) -> list[Path]:
        with suppress(OSError), os.scandir(self.folder) as entries:
            return [Path(entry.path) for entry in entries if len(entry.name) == 2 and entry.is_dir()]
        return []

    def _path(self, block: str) -> Path:
        return self.folder / block[:2] / block

    @contextmanager
    def _only_one(self, names: set[str]) -> Iterator[None]:
        """One thread of all processes at a time, for each block; where no lock can be had, each for itself.

        Always in the same order, so that two who want the same locks do not wait for each other.
        """
        folder = self.folder / "locks"
        with ExitStack() as held:
            with suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                for number in sorted({zlib.crc32(name.encode()) % _LOCKS for name in names}):
                    file = os.open(folder / f"{number:03d}", os.O_RDWR | os.O_CREAT, 0o666)
                    held.callback(os.close, file)
                    fcntl.flock(file, fcntl.LOCK_EX)
            yield


class _Stamp(NamedTuple):
    """What changes when a file is written to or replaced."""

    inode: int
    size: int
    modified: int


def _stamp(file: int) -> _Stamp:
    info = os.fstat(file)
    return _Stamp(info.st_ino, info.st_size, info.st_mtime_ns)


class _Asked(NamedTuple):
    """Bytes [start, stop) of one version of an object, wanted in `into`."""

    version: str
    start: int
    stop: int
    into: memoryview

    def name(self, block: Block) -> str:
        return f"{self.version}-{block[0]}"

    def within(self, block: Block) -> Block:
        """Which bytes of the block are asked for."""
        return max(0, self.start - block[0]), min(self.stop, block[1]) - block[0]

    def view(self, block: Block) -> memoryview:
        """Where they go."""
        begin, end = self.within(block)
        return self.into[block[0] + begin - self.start : block[0] + end - self.start]


def _runs(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    """Blocks that follow each other."""
    run: list[Block] = []
    for block in blocks:
        if run and block[0] != run[-1][1]:
            yield run
            run = []
        run.append(block)
    if run:
        yield run
