"""The rows of a shard while it is filled."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.pixel_histogram import PixelHistogram
from trainer.images.decoding import Decoded
from trainer.preparation.labels import LabelledImage
from trainer.preparation.shards import JpegRows, Layout, ShardRows, chunk_rows, write_jpeg_shard, write_shard

Attributes = Mapping[str, str | Sequence[str]]
Digests = NDArray[np.uint8]


class ShardBuffer(ABC):
    """Rows in memory, and of which items of the split's list they are: those from `start` on, of which
    `digests` has the files' SHA-256. `rows_of_chunk`: None for what is usual."""

    def __init__(self, rows_of_chunk: int | None) -> None:
        self._rows_of_chunk = rows_of_chunk
        self.clear()

    def clear(self) -> None:
        """Forget all rows."""
        self.names: list[str] = []
        self._labels: list[int] = []
        self.start, self.digests, self.problems = 0, np.zeros((0, 32), np.uint8), list[str]()

    def add(self, image: NDArray[np.uint8], decoded: Decoded[LabelledImage]) -> None:
        """One more row."""
        self.names.append(decoded.item.key)
        self._labels.append(decoded.item.label)

    def closed(self, start: int, digests: Digests, problems: list[str]) -> Self:
        """Completes the buffer by what is known of the whole shard."""
        self.start, self.digests, self.problems = start, digests, problems
        return self

    def labels(self, kind: np.dtype[np.unsignedinteger]) -> NDArray[np.unsignedinteger]:
        """(rows,)."""
        return np.array(self._labels, kind)

    @property
    @abstractmethod
    def full(self) -> bool:
        """Whether the shard has its size."""

    @abstractmethod
    def pixels(self) -> PixelHistogram:
        """The count of their values."""

    @abstractmethod
    def write(self, path: Path, kind: np.dtype[np.unsignedinteger], attributes: Attributes) -> Layout:
        """The file of a shard, with labels of that dtype."""


class PixelBuffer(ShardBuffer):
    """Holds at most `most` rows of images (H, W, C)."""

    def __init__(self, most: int, shape: tuple[int, int, int], rows_of_chunk: int | None) -> None:
        self._images = np.empty((most, *shape), np.uint8)
        super().__init__(rows_of_chunk)

    def add(self, image: NDArray[np.uint8], decoded: Decoded[LabelledImage]) -> None:
        self._images[len(self.names)] = image
        super().add(image, decoded)

    @property
    def full(self) -> bool:
        return len(self.names) == len(self._images)

    def pixels(self) -> PixelHistogram:
        return PixelHistogram.of(self._images[: len(self.names)])

    def write(self, path: Path, kind: np.dtype[np.unsignedinteger], attributes: Attributes) -> Layout:
        images = self._images[: len(self.names)]
        per_chunk = self._rows_of_chunk or chunk_rows(images[0].nbytes)
        return write_shard(path, ShardRows(images, self.labels(kind), self.names), per_chunk, attributes)


class JpegBuffer(ShardBuffer):
    """Holds about `most` bytes of JPEG files."""

    def __init__(self, most: int, rows_of_chunk: int | None) -> None:
        self._most = most
        super().__init__(rows_of_chunk)

    def clear(self) -> None:
        super().clear()
        self._files: list[bytes] = []
        self._bytes = 0
        self._counts = np.zeros((3, 256), np.int64)

    def add(self, image: NDArray[np.uint8], decoded: Decoded[LabelledImage]) -> None:
        super().add(image, decoded)
        self._files.append(decoded.jpeg)
        self._bytes += len(decoded.jpeg)
        self._counts += PixelHistogram.of(image[None]).counts

    @property
    def full(self) -> bool:
        return self._bytes >= self._most

    def pixels(self) -> PixelHistogram:
        return PixelHistogram(self._counts)

    def write(self, path: Path, kind: np.dtype[np.unsignedinteger], attributes: Attributes) -> Layout:
        rows = JpegRows(self._files, self.labels(kind), self.names)
        return write_jpeg_shard(path, rows, self._rows_of_chunk, attributes)
