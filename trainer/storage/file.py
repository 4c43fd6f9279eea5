"""Objects in a folder, with the meaning that S3 gives them."""

import errno
import fcntl
import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

from trainer import interrupts
from trainer.storage.base import Buffer, ObjectChanged, ObjectInfo, buffer_for

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp")
_COPY_BYTES = 4 << 20
_MOUNTS = Path("/proc/self/mountinfo")


class FileStore:
    """Objects below one folder, which need not be there yet.

    Limits that S3 does not have: `a` and `a/b` cannot both be objects, and no part of a key is empty, `.` or
    `..`.
    """

    def __init__(self, root: Path) -> None:
        self.url = "file://" + str(root).replace("%", "%25")
        self.root = root

    @property
    def local_root(self) -> Path:
        return self.root

    @property
    def refuses_conditions(self) -> bool:
        return False

    @property
    def refuses_checksums(self) -> bool:
        return False

    def get(self, key: str) -> bytes:
        with self._named(key), self._path(key).open("rb") as file:
            return file.read()

    def get_range(
        self, key: str, start: int, stop: int, *, etag: str | None = None, into: memoryview | None = None
    ) -> memoryview:
        view = buffer_for(start, stop, into)
        if not len(view):
            return view
        with self._named(key), self._path(key).open("rb", buffering=0) as file:
            done = 0
            while done < len(view):
                file.seek(start + done)
                count = file.readinto(view[done:])
                if not count:
                    break
                done += count
            info = os.fstat(file.fileno())  # after the read, so that a change during it is seen
        if etag is not None and etag != _etag(info):
            raise ObjectChanged(f"{self._url(key)}: changed: expected etag {etag}, found {_etag(info)}")
        if done < len(view):
            raise EOFError(
                f"{self._url(key)}: expected bytes {start}-{stop - 1}, the object has {info.st_size} bytes"
            )
        return view

    def put(self, key: str, data: Buffer, *, if_absent: bool = False, if_match: str | None = None) -> str:
        return self._write(key, lambda file: _write_all(file, data), if_absent, if_match)

    def put_file(self, key: str, path: Path) -> str:
        def write(file: BinaryIO) -> None:
            with path.open("rb", buffering=0) as source:
                while block := source.read(_COPY_BYTES):
                    _write_all(file, block)

        return self._write(key, write)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        *folders, _ = prefix.split("/")
        if any(part in ("", ".", "..") for part in folders):
            return
        with self._named(prefix):
            yield from self._walk("".join(f"{part}/" for part in folders), prefix)

    def stat(self, key: str) -> ObjectInfo:
        path = self._path(key)
        with self._named(key):
            info = path.stat()
            if path.is_dir():
                raise FileNotFoundError
        return ObjectInfo(key, info.st_size, _etag(info), info.st_mtime)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with self._named(key), suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            path.unlink()
        with suppress(OSError):  # folders are nothing by themselves: the empty ones go
            for folder in path.parents:
                if folder == self.root:
                    break
                folder.rmdir()

    @contextmanager
    def no_folders_left(self) -> Iterator[None]:
        made = [folder for folder in (self.root, *self.root.parents) if not folder.exists()]
        try:
            yield
        finally:
            with suppress(OSError):
                for folder in made:
                    folder.rmdir()

    def remove_leftovers(self, before: float) -> None:
        for folder, _, names in os.walk(self.root, topdown=False):
            left = [Path(folder, name) for name in names if _TEMPORARY.fullmatch(name)]
            for path in left:
                with suppress(OSError):
                    if path.stat().st_mtime < before:
                        path.unlink()
            if left and Path(folder) != self.root:
                with suppress(OSError):
                    Path(folder).rmdir()

    def _write(
        self,
        key: str,
        write: Callable[[BinaryIO], None],
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> str:
        path = self._path(key)
        temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
        with interrupts.deferred():
            try:
                with _create(temporary) as file:
                    write(file)
                    os.fsync(file.fileno())
                    etag = _etag(os.fstat(file.fileno()))
                if if_absent:
                    self._link(temporary, path, key)
                elif if_match is not None:
                    self._replace_version(temporary, path, key, if_match)
                else:
                    temporary.replace(path)
                _sync_folder(path.parent)
            except (FileExistsError, FileNotFoundError):
                raise
            except OSError as error:
                text = f"{self._url(key)}: cannot be written: {error.strerror or error}"
                raise type(error)(text) from error
            finally:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)
        return etag

    def _link(self, temporary: Path, path: Path, key: str) -> None:
        try:
            os.link(temporary, path)
        except FileExistsError as error:
            raise FileExistsError(f"{self._url(key)}: expected no such object, but it is there") from error

    def _replace_version(self, temporary: Path, path: Path, key: str, etag: str) -> None:
        """One at a time: whoever replaces a version of a file holds a lock on its folder."""
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            found = _etag(path.stat()) if path.is_file() else "none"
            if found != etag:
                raise ObjectChanged(f"{self._url(key)}: changed: expected etag {etag}, found {found}")
            temporary.replace(path)
        finally:
            os.close(folder)

    def _walk(self, folder: str, prefix: str) -> Iterator[ObjectInfo]:
        """The files below `folder` ("" or ending with "/"), in the order of their keys' bytes."""
        try:
            with os.scandir(self.root / folder) as entries:
                found = [(entry.name + ("/" if entry.is_dir() else ""), entry) for entry in entries]
        except (FileNotFoundError, NotADirectoryError):
            return
        for name, entry in sorted(found, key=lambda item: os.fsencode(item[0])):
            key = folder + name
            if name.endswith("/"):
                if key.startswith(prefix) or prefix.startswith(key):
                    yield from self._walk(key, prefix)
            elif key.startswith(prefix) and not _TEMPORARY.fullmatch(name):
                with suppress(FileNotFoundError):  # deleted since it was listed
                    info = entry.stat()
                    yield ObjectInfo(key, info.st_size, _etag(info), info.st_mtime)

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\0" in key or _TEMPORARY.fullmatch(parts[-1]):
            raise ValueError(f"expected a key below {self.url}, received {key!r}")
        return self.root.joinpath(*parts)

    def _url(self, key: str) -> str:
        return f"{self.url}/{key}"

    @contextmanager
    def _named(self, key: str) -> Iterator[None]:
        """The system's errors, with the URL of the object."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise FileNotFoundError(f"{self._url(key)}: no such object") from error
        except OSError as error:
            raise type(error)(f"{self._url(key)}: {error.strerror or error}") from error


def _create(path: Path) -> BinaryIO:
    for _ in range(100):
        # A deletion may remove the emptied folder between any two of these calls.
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("xb", buffering=0)
        except FileExistsError as error:
            if path.parent.is_file():
                raise NotADirectoryError(f"{path.parent} is an object, and cannot hold others") from error
        except FileNotFoundError:
            pass
    raise OSError(errno.ENOENT, f"{path.parent} cannot be created, or is removed as often as it is created")


def _write_all(file: BinaryIO, data: Buffer) -> None:
    """A raw file writes only a part where the disk is nearly full; the next write then fails."""
    view = memoryview(data).cast("B")
    while len(view):
        view = view[file.write(view) :]


def _sync_folder(folder: Path) -> None:
    with suppress(FileNotFoundError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _etag(info: os.stat_result) -> str:
    """Made of inode, time and size. FUSE file systems such as s3fs give out other inodes after each mount."""
    inode = 0 if _is_fuse(info.st_dev) else info.st_ino
    return f"{inode:x}-{info.st_mtime_ns:x}-{info.st_size:x}"


@cache
def _is_fuse(device: int) -> bool:
    """Whether /proc/self/mountinfo, see proc(5), says so; False where there is none."""
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = [line.split() for line in _MOUNTS.read_text(errors="replace").splitlines()]
    except OSError:
        return False
    kinds = [fields[fields.index("-") + 1] for fields in mounts if fields[2] == number]
    return any(kind.split(".")[0] in ("fuse", "fuseblk") for kind in kinds)
