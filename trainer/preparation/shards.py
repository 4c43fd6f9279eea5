"""Rows -> one HDF5 file, and where their bytes lie in it."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.pixel_histogram import Images
from trainer.dataset.shards.ranges import CHUNK, NO_PIECES, PIECE

_JPEG_CHUNK_BYTES = 1 << 20


class ShardRows(NamedTuple):
    """What a shard holds: images uint8 (n, H, W, C), labels (n,), and a name each."""

    images: Images
    labels: NDArray[np.unsignedinteger]
    names: Sequence[str]


class JpegRows(NamedTuple):
    """`ShardRows` whose images are JPEG files."""

    files: Sequence[bytes]
    labels: NDArray[np.unsignedinteger]
    names: Sequence[str]


class Layout(NamedTuple):
    """Where a file's bytes lie: its tables of chunks and of pieces, and the offset and width of its names."""

    chunks: NDArray[np.void]
    pieces: NDArray[np.void]
    names_offset: int
    names_width: int


def chunk_rows(row_bytes: int) -> int:
    """Rows of a chunk: 16, but at least 1 MiB of them and at most 4 MiB; never less than one."""
    return max(1, min(max(16, (1 << 20) // row_bytes), (4 << 20) // row_bytes))


def write_shard(
    path: Path, rows: ShardRows, per_chunk: int, attributes: Mapping[str, str | Sequence[str]]
) -> Layout:
    """Write one file: `images` in uncompressed chunks of whole images, `labels`, `names`, and attributes.

    The same rows and attributes make the same bytes.
    """
    import h5py

    images = rows.images
    per_chunk = min(per_chunk, len(images))
    chunked = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    chunked.set_chunk((per_chunk, *images.shape[1:]))
    chunked.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    chunked.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    chunked.set_obj_track_times(False)
    with _new_file(path, rows, attributes) as file:
        space = h5py.h5s.create_simple(images.shape)
        made = h5py.h5d.create(file.id, b"images", h5py.h5t.STD_U8LE, space, chunked)
        # HDF5 knows where the bytes will lie once they are allocated.
        file.flush()
        table = np.zeros(made.get_num_chunks(), CHUNK)
        for number in range(len(table)):
            found = made.get_chunk_info(number)
            first = found.chunk_offset[0]
            table[number] = (0, found.byte_offset, found.size, first, min(per_chunk, len(images) - first))
        table.sort(order="first")
        layout = Layout(table, NO_PIECES, *_names(file))
    _write_pixels(path, images, table)
    return layout


def write_jpeg_shard(
    path: Path, rows: JpegRows, per_chunk: int | None, attributes: Mapping[str, str | Sequence[str]]
) -> Layout:
    """Like `write_shard`, with the files one behind the other in `jpeg`, uint8, file i in the bytes
    [jpeg_offsets[i], jpeg_offsets[i + 1]). What is read together is `per_chunk` of them, or about 1 MiB."""
    lengths = np.array([len(file) for file in rows.files], np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    groups = np.arange(len(lengths)) // per_chunk if per_chunk else offsets[:-1] // _JPEG_CHUNK_BYTES
    firsts = np.flatnonzero(np.diff(groups, prepend=-1))
    ends = np.append(firsts[1:], len(lengths))
    with _new_file(path, rows, attributes) as file:
        file.create_dataset("jpeg_offsets", data=offsets.astype(np.uint64))
        made = file.create_dataset("jpeg", data=np.frombuffer(b"".join(rows.files), np.uint8))
        chunks = np.zeros(len(firsts), CHUNK)
        chunks["offset"] = made.id.get_offset() + offsets[firsts]
        chunks["length"] = offsets[ends] - offsets[firsts]
        chunks["first"], chunks["rows"] = firsts, ends - firsts
        pieces = np.zeros(len(lengths), PIECE)
        pieces["chunk"] = np.repeat(np.arange(len(firsts)), ends - firsts)
        pieces["offset"] = offsets[:-1] - offsets[firsts][pieces["chunk"]]
        pieces["length"] = lengths
        return Layout(chunks, pieces, *_names(file))


@contextmanager
def _new_file(
    path: Path, rows: ShardRows | JpegRows, attributes: Mapping[str, str | Sequence[str]]
) -> Iterator[Any]:
    """An open file with attributes, `labels` and `names`."""
    import h5py

    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_obj_track_times(False)  # the same images make the same bytes
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    # The newest layout keeps the index of chunks small and at the head of the file.
    access.set_libver_bounds(h5py.h5f.LIBVER_LATEST, h5py.h5f.LIBVER_LATEST)
    with h5py.File(h5py.h5f.create(bytes(path), h5py.h5f.ACC_TRUNC, creation, access)) as file:
        for name, value in attributes.items():
            file.attrs.create(name, _attribute(value))
        file.create_dataset("labels", data=rows.labels)
        file.create_dataset("names", data=np.array([_bytes(name) for name in rows.names], np.bytes_))
        yield file


def _names(file: Any) -> tuple[int, int]:
    """Where the names are, and the width of each."""
    return file["names"].id.get_offset(), file["names"].dtype.itemsize


def _write_pixels(path: Path, images: Images, table: NDArray[np.void]) -> None:
    """The images to their places; without HDF5, which would hold up Python's other threads."""
    with path.open("r+b", buffering=0) as file:
        for chunk in table:
            first = int(chunk["first"])
            view = images[first : first + int(chunk["rows"])].data.cast("B")
            place = int(chunk["offset"])
            while len(view):
                written = os.pwrite(file.fileno(), view, place)
                view, place = view[written:], place + written


def _attribute(value: str | Sequence[str]) -> Any:
    """A text, or an array of texts, in UTF-8 of a fixed width."""
    import h5py

    texts = [_bytes(text) for text in ([value] if isinstance(value, str) else value)]
    kind = h5py.string_dtype("utf-8", max(1, *map(len, texts), 1))
    array = np.array(texts, dtype=kind)
    return array[0] if isinstance(value, str) else array


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
