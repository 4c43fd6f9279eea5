"""The interface of every object store; nothing above it knows more."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

LARGE_BYTES = 16 << 20
"""An object of this size or more goes up in parts, where the store has them."""

CHECKSUM_SETTING = "AWS_REQUEST_CHECKSUM_CALCULATION=when_required"
"""boto3's setting by which uploads have no checksum that S3 does not ask for."""

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True)
class ObjectInfo:
    """One object: its key below the store's URL, its size in bytes, its etag without quotes, which is empty
    where a listing has none.

    `modified` is when it was written, by the store's clock, in seconds since the epoch.
    """

    key: str
    size: int
    etag: str
    modified: float = field(default=0.0, compare=False)


class Store(Protocol):
    """Objects below one URL. Keys are relative to it, with `/` between their parts.

    Every method raises errors that name the object's whole URL: FileNotFoundError (also for a bucket that is
    not there), PermissionError (bad credentials or missing permissions: never retried, never anonymous),
    FileExistsError (`if_absent` lost), TimeoutError (the retry budget is spent), EOFError (the object ends
    before the range asked for), `ObjectChanged` (`etag` or `if_match` no longer matches), else OSError;
    ConfigError where the configuration is invalid. An invalid key or buffer is a ValueError.
    Safe to use from several threads.
    """

    url: str

    @property
    def local_root(self) -> Path | None:
        """The folder that holds the objects as files; None where they are not on this machine."""
        ...

    @property
    def refuses_conditions(self) -> bool:
        """Whether the server has refused `if_absent` or `if_match`: a write then looks at what is there."""
        ...

    @property
    def refuses_checksums(self) -> bool:
        """Whether the server has refused uploads with checksums, so that they go without."""
        ...

    def get(self, key: str) -> bytes: ...

    def get_range(
        self, key: str, start: int, stop: int, *, etag: str | None = None, into: memoryview | None = None
    ) -> memoryview:
        """Bytes [start, stop); into `into` (contiguous, of stop - start bytes) when given.

        All of them or an error. They are of one version of the object, the one of `etag` when given.
        """
        ...

    def put(self, key: str, data: Buffer, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """Store `data` whole or not at all; returns the etag.

        With `if_absent`, of all writers of `key` one wins and the others get FileExistsError. With
        `if_match`, of all who replace the object of that etag one wins and the others get ObjectChanged, as
        they do when it is gone. If the response to the winning request was lost on the way, the content
        tells whose it is: where the winner matters, let `data` name its writer.
        """
        ...

    def put_file(self, key: str, path: Path) -> str:
        """Store a file (multipart when large), whole or not at all; returns the etag."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object whose key starts with `prefix`, in the order of their keys' UTF-8 bytes."""
        ...

    def stat(self, key: str) -> ObjectInfo: ...

    def delete(self, key: str) -> None:
        """Delete; an object that is not there is not an error."""
        ...

    def no_folders_left(self) -> AbstractContextManager[None]:
        """A context after which the folders that were made for objects and are empty are removed."""
        ...

    def remove_leftovers(self, before: float) -> None:
        """Removes what killed writers left half-written, last changed before this time (seconds since the
        epoch, by the store's clock). It is not an object."""
        ...


class RemoteStore:
    """What a store has in common with others whose objects are not files of this machine."""

    @property
    def local_root(self) -> None:
        return None

    def no_folders_left(self) -> AbstractContextManager[None]:
        return nullcontext()

    def remove_leftovers(self, before: float) -> None:
        """An object is there whole or not at all."""


class ObjectChanged(Exception):
    """An object is not the one that was indexed: its etag differs."""


def buffer_for(start: int, stop: int, into: memoryview | None) -> memoryview:
    """Where bytes [start, stop) go: `into`, or a new buffer. Raises ValueError where they do not fit."""
    if not 0 <= start <= stop:
        raise ValueError(f"expected 0 <= start <= stop, received start={start}, stop={stop}")
    view = memoryview(bytearray(stop - start)) if into is None else into.cast("B")
    if len(view) != stop - start:
        raise ValueError(f"expected a buffer of {stop - start} bytes, received {len(view)}")
    return view
