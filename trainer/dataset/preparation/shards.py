"""Images -> HDF5 shards in object storage, and where their bytes lie."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.index import Split, smallest_unsigned
from trainer.dataset.ranges import CHUNK
from trainer.dataset.reading.shard_reader import Shard
from trainer.errors import DataError
from trainer.storage.base import Store

Images = NDArray[np.uint8]


class Example(NamedTuple):
    """One image to be written: pixels uint8 (H, W, C), the number of its class, its name."""

    image: Images
    label: int
    name: str


def chunk_rows(row_bytes: int) -> int:
    """Rows of a chunk: 16, but at least 1 MiB of them and at most 4 MiB; never less than one."""
    return max(1, min(max(16, (1 << 20) // row_bytes), (4 << 20) // row_bytes))


@dataclass
class Pixels:
    """How often each value comes in each channel, counted exactly: int64 (C, 256)."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 256), np.int64))

    def add(self, images: Images) -> None:
        """Count images, uint8 (n, H, W, C)."""
        for channel in range(len(self.counts)):
            self.counts[channel] += np.bincount(images[..., channel].ravel(), minlength=256)

    def moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel, in 0..255."""
        values = np.arange(256.0)
        totals = self.counts.sum(axis=1)
        mean = self.counts @ values / totals
        std = np.sqrt(np.maximum(0.0, self.counts @ values**2 / totals - mean**2))
        return tuple(mean.tolist()), tuple(std.tolist())


def write_split(
    store: Store,
    name: str,
    examples: Iterable[Example],
    *,
    classes: int,
    shard_bytes: int,
    uploaded: list[str],
    rows_of_chunk: int | None = None,
) -> Split:
    """Write a split's images as `NAME/00000.h5` and so on, one shard at a time in memory.

    A shard holds `images` uint8 (n, H, W, C) in uncompressed chunks of whole images, `labels` (n,) and
    `names` (n,). Each key is added to `uploaded` before it is put. Raises DataError for no examples.
    """
    examples = iter(examples)
    first = next(examples, None)
    if first is None:
        raise DataError(f"No readable image is left for the {name} split", "Replace the damaged images")
    row_bytes = first.image.nbytes
    per_chunk = rows_of_chunk or chunk_rows(row_bytes)
    per_shard = max(1, shard_bytes // (row_bytes * per_chunk)) * per_chunk
    objects: list[Shard] = []
    chunks: list[NDArray[np.void]] = []
    labels: list[NDArray[np.unsignedinteger]] = []
    pixels = Pixels()
    rows = 0
    with TemporaryDirectory(prefix="trainer-") as folder:
        path = Path(folder) / "shard.h5"
        for images, numbers, names in _gathered(
            chain([first], examples), per_shard, first.image.shape, smallest_unsigned(classes)
        ):
            table, names_offset, names_width = _write(path, images, numbers, names, per_chunk)
            key = f"{name}/{len(objects):05d}.h5"
            uploaded.append(key)
            etag = store.put_file(key, path)
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = path.stat().st_size
            table["object"] = len(objects)
            table["first"] += rows
            objects.append(Shard(key, etag, size, digest, len(images), names_offset, names_width))
            chunks.append(table)
            labels.append(numbers.copy())
            pixels.add(images)
            rows += len(images)
    mean, std = pixels.moments()
    return Split(
        name,
        rows,
        np.concatenate(labels),
        np.concatenate(chunks),
        tuple(objects),
        row_bytes,
        mean,
        std,
        store,
    )


def _gathered(
    examples: Iterable[Example], most: int, shape: tuple[int, ...], label_type: np.dtype[Any]
) -> Iterator[tuple[Images, NDArray[np.unsignedinteger], list[str]]]:
    """Examples -> arrays of up to `most` rows. The arrays are used again: consume each before the next."""
    images = np.empty((most, *shape), np.uint8)
    labels = np.empty(most, label_type)
    names: list[str] = []
    for image, label, name in examples:
        images[len(names)] = image
        labels[len(names)] = label
        names.append(name)
        if len(names) == most:
            yield images, labels, names
            names = []
    if names:
        yield images[: len(names)], labels[: len(names)], names


def _write(
    path: Path, images: Images, labels: NDArray[np.unsignedinteger], names: list[str], per_chunk: int
) -> tuple[NDArray[np.void], int, int]:
    """Write one file; returns its table of chunks, and the offset and width of its names."""
    import h5py

    encoded = np.array([name.encode(errors="surrogateescape") for name in names], np.bytes_)
    per_chunk = min(per_chunk, len(images))
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_obj_track_times(False)  # the same images make the same bytes
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    # The newest layout keeps the index of chunks small and at the head of the file.
    access.set_libver_bounds(h5py.h5f.LIBVER_LATEST, h5py.h5f.LIBVER_LATEST)
    with h5py.File(h5py.h5f.create(bytes(path), h5py.h5f.ACC_TRUNC, creation, access)) as file:
        file.create_dataset("labels", data=labels)
        file.create_dataset("names", data=encoded)
        written = file.create_dataset("images", data=images, chunks=(per_chunk, *images.shape[1:]))
        # HDF5 knows where the bytes lie once they are written.
        file.flush()
        table = np.zeros(written.id.get_num_chunks(), CHUNK)
        for number in range(len(table)):
            found = written.id.get_chunk_info(number)
            first = found.chunk_offset[0]
            table[number] = (0, found.byte_offset, found.size, first, min(per_chunk, len(images) - first))
        table.sort(order="first")
        return table, file["names"].id.get_offset(), encoded.dtype.itemsize
