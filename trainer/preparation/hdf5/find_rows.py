"""Where the images of an HDF5 dataset lie, and in which form."""

from dataclasses import asdict, dataclass
from itertools import accumulate
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.shards.ranges import CHUNK, NO_PIECES, PIECE
from trainer.dataset.shards.row_layout import FILTERS, Axes, Filter, RowLayout
from trainer.preparation.hdf5.range_file import RangeFile
from trainer.preparation.hdf5.refused import Refused

Shape = tuple[int, int, int]

_RANGE_BYTES = 4 << 20
"""Of rows that lie together these are read at once, about."""
_CHUNK_BYTES = 256 << 20
_SCATTERED, _SLACK = 2, 1 << 20
"""At most so many times the bytes of its pieces may be read for a chunk, and these."""
_SAMPLE_ROWS, _SAMPLE_BYTES = 64, 64 << 20
_CODES: dict[int, Filter] = {1: "deflate", 2: "shuffle", 3: "fletcher32"}
_REPACK = "Write it again in chunks of some images: h5repack -l CHUNK=…"


@dataclass(frozen=True)
class Hdf5Rows:
    """`chunks` and `pieces` as in dataset.shards.ranges; `assumed` says what could also be otherwise."""

    count: int
    shape: Shape
    layout: RowLayout
    chunks: NDArray[np.void]
    pieces: NDArray[np.void]
    assumed: str

    def document(self) -> dict[str, Any]:
        """For JSON, without the arrays."""
        return {
            "rows": self.count,
            "shape": self.shape,
            "layout": asdict(self.layout),
            "assumed": self.assumed,
        }


def find_rows(dataset: Any, name: str, count: int, given: list[int] | None, file: RangeFile) -> Hdf5Rows:
    """The rows of an HDF5 dataset of images, some of which are compared with what the HDF5 library reads.

    `count` labels say which axis is that of the rows; `given` is an image's shape for flat rows.
    Raises Refused.
    """
    if dataset.is_virtual or dataset.external:
        raise Refused(f"{name}: its values are in other files", "Write them into one file: h5repack")
    if dataset.dtype.kind not in "uif":
        raise Refused(f"{name}: expected numbers, received {dataset.dtype}", "Name other images")
    axes = _axes(dataset.shape, name, count, given)
    rows = dataset.shape[-1 if axes.last else 0]
    if rows != count:
        raise Refused(
            f"{name}: {rows:,} images in its shape {dataset.shape}, and {count:,} labels", "Name others"
        )
    row_bytes = dataset.nbytes // rows
    per_chunk = rows if axes.last else dataset.chunks[0] if dataset.chunks else 1
    if per_chunk * row_bytes > _CHUNK_BYTES:
        raise Refused(
            f"{name}: {per_chunk * row_bytes:,} bytes must be read for each image; expected at most "
            f"{_CHUNK_BYTES:,}",
            _REPACK,
        )
    filters = _filters(dataset, name)
    if dataset.chunks:
        chunks, pieces = _of_chunks(dataset, name, axes.last)
    else:
        chunks, pieces = _of_one(dataset, name, rows, axes.last), NO_PIECES
    if (chunks["offset"] + chunks["length"]).max() > file.size:
        raise Refused(f"{name}: its rows lie behind the end of the file", "Copy it again")
    joined = bool(filters or len(pieces))
    layout = RowLayout(
        dtype=dataset.dtype.str,
        scale=_scale(dataset, name, axes.last),
        axes=axes.order,
        last=axes.last,
        filters=filters,
        piece=dataset.chunks if joined else (),
        row=(dataset.shape[:-1] if axes.last else dataset.shape[1:]) if joined else (),
    )
    found = Hdf5Rows(rows, axes.shape, layout, chunks, pieces, axes.assumed)
    _compare(dataset, name, found, file)
    return found


class _Axes(NamedTuple):
    order: Axes
    shape: Shape
    last: bool = False
    assumed: str = ""


def _axes(shape: tuple[int, ...], name: str, count: int, given: list[int] | None) -> _Axes:
    """By the number of labels, and where channels can be. Grey images become (H, W, 3)."""
    last = len(shape) > 1 and shape[-1] == count and shape[0] != count
    row = shape[:-1] if last else shape[1:]
    if len(row) == 3 and row[2] in (1, 3) and all(row):
        return _Axes("HWC" if row[2] == 3 else "HW", (row[0], row[1], 3), last)
    if len(row) == 3 and row[0] in (1, 3) and all(row):
        return _Axes("CHW" if row[0] == 3 else "HW", (row[1], row[2], 3), last)
    if len(row) == 2 and all(row):
        return _Axes("HW", (row[0], row[1], 3), last)
    if len(row) == 1 and given and prod(given) == row[0] and given[2] in (1, 3):
        return _Axes("HWC" if given[2] == 3 else "HW", (given[0], given[1], 3), last)
    if len(row) == 1 and not given:
        for channels in (3, 1):
            side = round((row[0] / channels) ** 0.5)
            if side and side * side * channels == row[0]:
                assumed = (
                    f"the {row[0]:,} values of a row of {name} are assumed to be {side} x {side} x {channels}"
                )
                return _Axes("HWC" if channels == 3 else "HW", (side, side, 3), last, assumed)
    raise Refused(
        f"{name}: expected images (n, H, W, 3), (n, 3, H, W), (n, H, W), (n, H*W*3), or n as the last axis, "
        f"received {shape} and {count:,} labels" + (f" and --image-shape {given}" if given else ""),
        "Name others, or give --image-shape",
    )


def _filters(dataset: Any, name: str) -> tuple[Filter, ...]:
    creation = dataset.id.get_create_plist()
    filters = [creation.get_filter(number) for number in range(creation.get_nfilters())]
    for code, _, _, text in filters:
        if code not in _CODES:
            raise Refused(
                f"{name}: compressed by {text.decode(errors='replace') or f'filter {code}'}; expected "
                f"{', '.join(FILTERS)} or nothing",
                "Write it again: h5repack -f GZIP=1",
            )
    return tuple(_CODES[code] for code, *_ in filters)


def _scale(dataset: Any, name: str, last: bool) -> float:
    """By what its values become 0..255, from the first, the middle and the last rows."""
    rows = dataset.shape[-1 if last else 0]
    row_bytes = dataset.nbytes // rows
    count = max(1, min(_SAMPLE_ROWS, _SAMPLE_BYTES // max(1, row_bytes)) // 3)
    low, high = np.inf, -np.inf
    for first in {0, max(0, rows // 2 - count), max(0, rows - count)}:
        part = slice(first, first + count)
        sample = dataset[..., part] if last else dataset[part]
        low, high = np.minimum(low, sample.min()), np.maximum(high, sample.max())
    if not (low >= 0 and high <= 255):
        raise Refused(
            f"{name}: its values are from {low:g} to {high:g}; expected 0 to 1 or 0 to 255", "Scale them"
        )
    return 255.0 if dataset.dtype.kind == "f" and high <= 1 else 1.0


def _of_one(dataset: Any, name: str, rows: int, last: bool) -> NDArray[np.void]:
    """The chunks of a dataset that lies in one piece: of a good size."""
    offset = dataset.id.get_offset()
    if offset is None:
        raise Refused(
            f"{name}: nothing was written, or it is stored in its header", "Write it again: h5repack"
        )
    row_bytes = dataset.nbytes // rows
    per = rows if last else max(1, _RANGE_BYTES // row_bytes)
    firsts = np.arange(0, rows, per)
    table = np.zeros(len(firsts), CHUNK)
    table["first"], table["rows"] = firsts, np.minimum(per, rows - firsts)
    table["offset"] = offset + firsts * row_bytes
    table["length"] = table["rows"].astype(np.int64) * row_bytes
    return table


def _of_chunks(dataset: Any, name: str, last: bool) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """One chunk for all of HDF5's that hold the same rows."""
    shape, piece = dataset.shape, dataset.chunks
    rows = shape[-1 if last else 0]
    per = rows if last else piece[0]
    counts = [-(-length // part) for length, part in zip(shape, piece, strict=True)]
    strides = list(accumulate([1, *counts[:0:-1]], lambda a, b: a * b))[::-1]
    each = prod(counts) if last else prod(counts[1:])
    groups = prod(counts) // each
    if dataset.id.get_num_chunks() != groups * each:
        raise Refused(f"{name}: some of its chunks were never written", "Write it again: h5repack")
    offsets, lengths = np.zeros(groups * each, np.int64), np.zeros(groups * each, np.int64)

    def note(info: Any) -> None:
        if info.filter_mask:
            raise Refused(f"{name}: a chunk was written without its filters", "Write it again: h5repack")
        place = sum(o // p * s for o, p, s in zip(info.chunk_offset, piece, strides, strict=True))
        offsets[place], lengths[place] = info.byte_offset, info.size

    dataset.id.chunk_iter(note)
    offsets, lengths = offsets.reshape(groups, each), lengths.reshape(groups, each)
    if not lengths.all():
        raise Refused(f"{name}: some of its chunks were never written", "Write it again: h5repack")
    starts = offsets.min(axis=1)
    spans = (offsets + lengths).max(axis=1) - starts
    if (spans > _SCATTERED * lengths.sum(axis=1) + _SLACK).any() or spans.max() >= 2**32:
        raise Refused(
            f"{name}: its chunks of {piece} hold pieces of images, and lie scattered over the file", _REPACK
        )
    chunks = np.zeros(groups, CHUNK)
    chunks["offset"], chunks["length"], chunks["first"] = starts, spans, np.arange(groups) * per
    chunks["rows"] = np.minimum(per, rows - chunks["first"].astype(np.int64))
    if each == 1 and (last or piece[1:] == shape[1:]):
        return chunks, NO_PIECES
    pieces = np.zeros((groups, each), PIECE)
    pieces["chunk"] = np.arange(groups)[:, None]
    pieces["offset"], pieces["length"] = offsets - starts[:, None], lengths
    return chunks, pieces.ravel()


def _compare(dataset: Any, name: str, found: Hdf5Rows, file: RangeFile) -> None:
    for number in {0, len(found.chunks) // 2, len(found.chunks) - 1}:
        _, offset, length, first, count = found.chunks[number].item()
        own = found.pieces[found.pieces["chunk"] == number]
        pieces = [(start, start + size) for _, start, size in own.tolist()]
        ours = found.layout.values(file.range(offset, offset + length), pieces, count, found.shape)
        theirs = dataset[()] if found.layout.last else dataset[first : first + count]
        if found.layout.last:
            theirs = np.moveaxis(theirs, -1, 0)
        if not np.array_equal(ours.reshape(theirs.shape), theirs, equal_nan=theirs.dtype.kind == "f"):
            raise Refused(
                f"{name}: the bytes of its rows from {first} on are not what HDF5 reads there",
                "Copy it again",
            )
