"""Images are read and decoded in threads, in order, within a bound of memory."""

import errno
import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from threading import Condition
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DataError
from trainer.images.codec import Box, EncodedImage, Resize, decode_jpeg, encode_jpeg
from trainer.storage import Store

Loaded = bytes | NDArray[np.uint8]

READERS = 8
"""Threads that wait for the store; those that decode are as many as there are cores."""
HELD_BYTES = 128 << 20
"""Bytes of images that are read ahead, encoded or decoded."""
DECODING_BYTES = 512 << 20
"""Bytes of images that are being decoded; a larger one is decoded alone."""
NO_DIGEST = bytes(32)

_GROUP, _GROUP_BYTES = 32, 1 << 20
"""Images that a thread takes at once, and their maximum bytes."""
_OF_ONE_FILE = {errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG}


class ImageItem(Protocol):
    """One image: its key in the source's store, and the part of it to use, if not all."""

    @property
    def key(self) -> str: ...

    @property
    def crop(self) -> Box | None: ...


ItemT = TypeVar("ItemT", bound=ImageItem)
ItemIn = TypeVar("ItemIn", bound=ImageItem, contravariant=True)


class ImageLoader(Protocol[ItemIn]):
    """Loads images from a store."""

    @property
    def store(self) -> Store: ...

    def load(self, item: ItemIn, /) -> Loaded:
        """An image's file, or its pixels (H, W, 3). Raises DataError for one that cannot be used."""
        ...


@dataclass(frozen=True)
class Decoded(Generic[ItemT]):
    """An image: its pixels and the SHA-256 of its file; or the problem with it. Where rows are JPEG files,
    `jpeg` is that, and the pixels are those that are read from it."""

    item: ItemT
    image: NDArray[np.uint8] | None
    digest: bytes = NO_DIGEST
    problem: str = ""
    jpeg: bytes = b""


class Decoder(Generic[ItemT]):
    """Reads and decodes images of one source. Pillow decodes without Python's lock."""

    def __init__(
        self,
        source: ImageLoader[ItemT],
        size: tuple[int, int] | None,
        resize: Resize,
        cores: int,
        *,
        jpeg: bool = False,
    ) -> None:
        self._source, self.size, self._resize, self._cores = source, size, resize, max(1, cores)
        self._jpeg = jpeg
        self._local = source.store.local_root is not None

    def decode(self, items: Iterable[ItemT]) -> Iterator[Decoded[ItemT]]:
        """The images of `items` in their order, also those with a problem.

        Raises what the store raises, except for a file that was deleted or, in a local folder, cannot be
        opened: a store that refuses one object may refuse all for the same reason.
        """
        items = iter(items)
        row_bytes = self.size[0] * self.size[1] * 3 if self.size else 0
        while not row_bytes and (first := next(items, None)):  # the others are as large
            decoded = self._decode(first, self._read(first), None)
            row_bytes = 0 if decoded.image is None else decoded.image.nbytes
            yield decoded
        yield from self._in_threads(items, row_bytes)

    def _in_threads(self, items: Iterator[ItemT], row_bytes: int) -> Iterator[Decoded[ItemT]]:
        pending: deque[Future[Future[list[Decoded[ItemT]]]]] = deque()
        readers, decoders = ThreadPoolExecutor(READERS), ThreadPoolExecutor(self._cores)
        ahead = _Ahead(row_bytes)
        decoding = _Budget(DECODING_BYTES)

        def read(number: int, group: Sequence[ItemT]) -> "Future[list[Decoded[ItemT]]]":
            ahead.wait(number)
            data = [self._read(item) for item in group]
            ahead.read([_size(part) for part in data])
            return decoders.submit(decode, group, data)

        def decode(group: Sequence[ItemT], data: list[Loaded | str]) -> list[Decoded[ItemT]]:
            decoded = []
            for item in group:
                encoded = data.pop(0)
                decoded.append(self._decode(item, encoded, decoding))
                ahead.decoded(_size(encoded), decoded[-1])
            return decoded

        number = 0
        try:
            while group := list(islice(items, ahead.group)):
                while len(pending) >= READERS + 2 * self._cores:
                    yield from ahead.taken(pending.popleft().result().result())
                pending.append(readers.submit(read, number, group))
                number += 1
            while pending:
                yield from ahead.taken(pending.popleft().result().result())
        finally:  # after an error nobody waits for a store that may not answer
            ahead.close()
            readers.shutdown(wait=False, cancel_futures=True)
            decoders.shutdown(wait=False, cancel_futures=True)

    def _read(self, item: ItemT) -> Loaded | str:
        """The file's bytes or its pixels, or what is wrong with it."""
        try:
            return self._source.load(item)
        except DataError as error:
            return error.problem
        except FileNotFoundError:
            return f"{item.key}: the file was deleted, or is a broken symlink"
        except OSError as error:
            cause = error.__cause__
            if not (self._local and isinstance(cause, OSError) and cause.errno in _OF_ONE_FILE):
                raise
            return f"{item.key}: cannot be read ({cause.strerror})"

    def _decode(self, item: ItemT, encoded: Loaded | str, budget: "_Budget | None") -> Decoded[ItemT]:
        if isinstance(encoded, str):
            return Decoded(item, None, problem=encoded)
        try:
            opened = EncodedImage(encoded, self.size, item.key, self._resize, item.crop)
            with (budget or _Budget(0)).taking(opened.decoding_bytes):
                image = opened.decode()
                del opened
        except DataError as error:
            return Decoded(item, None, problem=error.problem)
        digest = _digest(encoded)
        if not self._jpeg:
            return Decoded(item, image, digest)
        height, width, channels = image.shape
        file = encode_jpeg(image)
        return Decoded(item, decode_jpeg(file, (height, width, channels)), digest, jpeg=file)


def _size(loaded: Loaded | str) -> int:
    return loaded.nbytes if isinstance(loaded, np.ndarray) else len(loaded)


def _digest(loaded: Loaded) -> bytes:
    return hashlib.sha256(loaded if isinstance(loaded, bytes) else loaded.tobytes()).digest()


class _Ahead:
    """What is read ahead: groups of images, numbered from 0. A group waits while too much is held, unless it
    is the one that is taken next."""

    def __init__(self, row_bytes: int) -> None:
        self._row_bytes = row_bytes
        self._held = self._next = self._images = self._bytes = 0
        self._closed = False
        self._changed = Condition()

    @property
    def group(self) -> int:
        """How many images the next group has."""
        size = self._bytes / self._images + self._row_bytes if self._images else _GROUP_BYTES
        return max(1, min(_GROUP, int(_GROUP_BYTES / max(1, size))))

    def wait(self, number: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._held < HELD_BYTES or number <= self._next)
            if self._closed:
                raise CancelledError

    def read(self, sizes: Sequence[int]) -> None:
        with self._changed:
            self._images += len(sizes)
            self._bytes += sum(sizes)
            self._held += sum(sizes) + len(sizes) * self._row_bytes

    def decoded(self, size: int, image: Decoded[ItemT]) -> None:
        with self._changed:
            self._held -= size if image.image is not None else size + self._row_bytes
            self._changed.notify_all()

    def taken(self, group: Sequence[Decoded[ItemT]]) -> Sequence[Decoded[ItemT]]:
        with self._changed:
            self._held -= sum(self._row_bytes for image in group if image.image is not None)
            self._next += 1
            self._changed.notify_all()
        return group

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class _Budget:
    """Bytes that threads may take together; what is more than all of them is given alone."""

    def __init__(self, total: int) -> None:
        self._total, self._taken, self._changed = total, 0, Condition()

    @contextmanager
    def taking(self, count: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + count <= self._total)
            self._taken += count
        try:
            yield
        finally:
            with self._changed:
                self._taken -= count
                self._changed.notify_all()
