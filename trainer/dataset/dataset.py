"""A dataset and its splits: where the bytes of each row lie."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.shards.ranges import NO_PIECES, RANGE_BYTES, blocks
from trainer.dataset.shards.shard_reader import Shard, ShardReader
from trainer.errors import DataError
from trainer.storage.base import Store
from trainer.storage.disk_cache import DiskCache

Encoding = Literal["raw", "jpeg"]


ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)


@dataclass(frozen=True)
class Split:
    """The rows of one split.

    `labels` (rows,) of the smallest unsigned dtype; `chunks` (chunks,) of dtype `ranges.CHUNK`, by row;
    `pieces` of dtype `ranges.PIECE`, by chunk, of those that have some, of JPEG rows one each; `row_bytes` of
    one image's pixels; `mean` and
    `std` of its pixels for each channel, in 0..255.
    """

    name: str
    rows: int
    labels: NDArray[np.unsignedinteger]
    chunks: NDArray[np.void]
    objects: tuple[Shard, ...]
    row_bytes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    store: Store
    cache: DiskCache | None = None
    pieces: NDArray[np.void] = field(default_factory=NO_PIECES.copy)

    @property
    def plain(self) -> bool:
        """Whether its bytes are those of images, row after row, in each of its objects."""
        return all(shard.layout.plain for shard in self.objects)

    @property
    def jpeg(self) -> bool:
        """Whether its rows are JPEG files."""
        return all(shard.layout.jpeg for shard in self.objects)

    @property
    def blocks(self) -> NDArray[np.int64]:
        """The rows of each of its parts that training takes in random order: chunks that are worth a request
        together, or that are decoded one by one."""
        if not self.plain:
            return self.chunks["rows"].astype(np.int64)
        return blocks(self.chunks, RANGE_BYTES)

    def read(self, number: int, start: int, stop: int, into: memoryview | None = None) -> memoryview:
        """Bytes [start, stop) of object `number`, of just the object that was indexed, else DataError."""
        return self._shards.read(number, start, stop, into)

    @cached_property
    def _shards(self) -> ShardReader:
        return ShardReader(self.store, self.objects, self.chunks, self.cache)

    def decode(self, chunk: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
        """Every image of a chunk, uint8 (n, H, W, C) of `shape`. Raises DataError for a damaged one."""
        number, offset, length, start, rows = self.chunks[chunk].item()
        first, last = np.searchsorted(self.pieces["chunk"], [chunk, chunk + 1]).tolist()
        pieces = [(start, start + size) for _, start, size in self.pieces[first:last].tolist()]
        shard = self.objects[number]
        data = self.read(number, offset, offset + length)
        images: NDArray[np.uint8] = shard.layout.decode(data, pieces, start, rows, shape, shard.key)
        return images

    def names(self, rows: NDArray[np.int64]) -> list[str]:
        """The names of `rows`, int64 (n,); read from each shard at once, from the first to the last."""
        rows = np.asarray(rows, np.int64)
        counts = np.array([shard.rows for shard in self.objects], np.int64)
        firsts = np.cumsum(counts) - counts
        shards = np.searchsorted(firsts, rows, side="right") - 1
        names = [""] * len(rows)
        for number in np.unique(shards).tolist():
            shard = self.objects[number]
            places = np.flatnonzero(shards == number)
            local = rows[places] - firsts[number]
            first, last = int(local.min()), int(local.max())
            if not shard.names_width:
                for place, row in zip(places.tolist(), local.tolist(), strict=True):
                    names[place] = f"{shard.key}:{row}"
                continue
            start = shard.names_offset + first * shard.names_width
            stop = shard.names_offset + (last + 1) * shard.names_width
            data = bytes(self.read(number, start, stop))
            for place, row in zip(places.tolist(), (local - first).tolist(), strict=True):
                name = data[row * shard.names_width : (row + 1) * shard.names_width]
                names[place] = name.rstrip(b"\0").decode(errors="surrogateescape")
        return names


@dataclass(frozen=True)
class Dataset:
    """An opened dataset. `identity` is a SHA-256 over what defines the data: two copies have the same."""

    url: str
    store: Store
    version: int
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    splits: dict[str, Split]
    identity: str
    made: dict[str, Any]

    @property
    def encoding(self) -> Encoding:
        """What its rows are: pixels, or JPEG files."""
        return "jpeg" if any(split.jpeg for split in self.splits.values()) else "raw"

    def split(self, name: str) -> Split:
        """Raises DataError for a split that the dataset does not have."""
        if name not in self.splits:
            raise DataError(
                f"{self.url}: expected a split {name!r}, found {', '.join(self.splits)}",
                "Prepare the dataset with that split",
            )
        return self.splits[name]
