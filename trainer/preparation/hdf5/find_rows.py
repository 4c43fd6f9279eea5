"""Where the images of an HDF5 dataset lie, and in which form."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.shards.ranges import CHUNK, NO_PIECES, PIECE
from trainer.dataset.shards.row_layout import FILTERS, Filter, RowLayout
from trainer.preparation.hdf5.file_datasets import Refused
from trainer.preparation.hdf5.form import Form, Shape
from trainer.preparation.hdf5.range_file import RangeFile

_RANGE_BYTES = 4 << 20
"""The bytes, about, of rows that lie together and are read at once."""
_CHUNK_BYTES = 256 << 20
_SCATTERED, _SLACK = 2, 1 << 20
"""Limits for a chunk: bytes read over bytes of its pieces, and bytes beyond that."""
_CODES: dict[int, Filter] = {1: "deflate", 2: "shuffle", 3: "fletcher32"}
_WRITE = "Write all of its rows, or name others"


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
        """Returns values for JSON, without the arrays."""
        return {
            "rows": self.count,
            "shape": self.shape,
            "layout": asdict(self.layout),
            "assumed": self.assumed,
        }


def find_rows(dataset: Any, name: str, form: Form, file: RangeFile) -> Hdf5Rows:
    """The rows of an HDF5 dataset of images, some of which are compared with what the HDF5 library reads.

    Raises Refused.
    """
    if form.encoded:
        raise Refused(f"{name}: its rows are files of images; expected pixels", convertible=True)
    rows, last = form.rows, form.last
    row_bytes = dataset.nbytes // rows
    per_chunk = dataset.chunks[-1 if last else 0] if dataset.chunks else rows if last else 1
    if per_chunk * row_bytes > _CHUNK_BYTES:
        raise _too_large(name, per_chunk * row_bytes)
    filters = _filters(dataset, name)
    if dataset.chunks:
        chunks, pieces = _of_chunks(dataset, name, last)
    else:
        chunks, pieces = _of_one(dataset, name, rows, last), NO_PIECES
    if (chunks["offset"] + chunks["length"]).max() > file.size:
        raise Refused(f"{name}: its rows lie behind the end of the file", "Copy it again")
    # A chunk of columns is as wide in the file as the others, also where it holds fewer rows.
    joined = bool(filters or len(pieces) or (last and dataset.chunks))
    layout = replace(
        form.layout,
        filters=filters,
        piece=dataset.chunks if joined else (),
        row=(dataset.shape[:-1] if last else dataset.shape[1:]) if joined else (),
    )
    found = Hdf5Rows(rows, form.shape, layout, chunks, pieces, form.assumed)
    _compare(dataset, name, found, file)
    return found


def stretch(rows: Hdf5Rows, start: int, stop: int, name: str) -> Hdf5Rows:
    """The rows [start, stop) alone. Raises Refused where a chunk that must be read whole holds others too."""
    firsts = rows.chunks["first"].astype(np.int64)
    ends = firsts + rows.chunks["rows"]
    kept = np.flatnonzero((ends > start) & (firsts < stop))
    chunks = rows.chunks[kept]
    low, high = np.maximum(firsts[kept], start), np.minimum(ends[kept], stop)
    if rows.layout.last or rows.layout.piece:
        if (low != firsts[kept]).any() or (high != ends[kept]).any():
            raise Refused(
                f"{name}: a chunk holds rows of two splits, and must be read whole", convertible=True
            )
    else:
        row_bytes = rows.layout.row_bytes(rows.shape)
        chunks["offset"] += ((low - firsts[kept]) * row_bytes).astype(np.uint64)
        chunks["length"] = (high - low) * row_bytes
    chunks["first"], chunks["rows"] = low - start, high - low
    pieces = rows.pieces[np.isin(rows.pieces["chunk"], kept)]
    pieces["chunk"] = np.searchsorted(kept, pieces["chunk"])
    return replace(rows, count=stop - start, chunks=chunks, pieces=pieces)


def _too_large(name: str, size: int) -> Refused:
    return Refused(
        f"{name}: {size:,} bytes must be read for each image; expected at most {_CHUNK_BYTES:,}",
        convertible=True,
    )


def _filters(dataset: Any, name: str) -> tuple[Filter, ...]:
    creation = dataset.id.get_create_plist()
    filters = [creation.get_filter(number) for number in range(creation.get_nfilters())]
    for code, _, _, text in filters:
        if code not in _CODES:
            raise Refused(
                f"{name}: compressed by {text.decode(errors='replace') or f'filter {code}'}; expected "
                f"{', '.join(FILTERS)} or nothing",
                convertible=True,
            )
    return tuple(_CODES[code] for code, *_ in filters)


def _of_one(dataset: Any, name: str, rows: int, last: bool) -> NDArray[np.void]:
    """The chunks of a dataset that lies in one piece: of a good size."""
    offset = dataset.id.get_offset()
    if offset is None:
        raise Refused(f"{name}: its values are in the header", convertible=True)
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
    axis = len(shape) - 1 if last else 0
    rows, per = shape[axis], piece[axis]
    counts = [-(-length // part) for length, part in zip(shape, piece, strict=True)]
    offsets, lengths = np.zeros(counts, np.int64), np.zeros(counts, np.int64)

    def note(info: Any) -> None:
        if info.filter_mask:
            raise Refused(f"{name}: a chunk was written without its filters", convertible=True)
        place = tuple(offset // part for offset, part in zip(info.chunk_offset, piece, strict=True))
        offsets[place], lengths[place] = info.byte_offset, info.size

    dataset.id.chunk_iter(note)
    if not lengths.all():
        raise Refused(f"{name}: some of its chunks were never written", _WRITE)
    offsets, lengths = (np.moveaxis(a, axis, 0).reshape(counts[axis], -1) for a in (offsets, lengths))
    if last and _scattered(offsets, lengths) and dataset.nbytes <= _CHUNK_BYTES:
        per = rows  # all at once; the pieces in the order of their places
        offsets, lengths = (a.T.reshape(1, -1) for a in (offsets, lengths))
    if _scattered(offsets, lengths):
        raise Refused(
            f"{name}: its chunks of {piece} hold pieces of images, and lie scattered over the file",
            convertible=True,
        )
    groups, each = offsets.shape
    starts = offsets.min(axis=1)
    spans = (offsets + lengths).max(axis=1) - starts
    chunks = np.zeros(groups, CHUNK)
    chunks["offset"], chunks["length"], chunks["first"] = starts, spans, np.arange(groups) * per
    chunks["rows"] = np.minimum(per, rows - chunks["first"].astype(np.int64))
    if each == 1 and (last or piece[1:] == shape[1:]):
        return chunks, NO_PIECES
    pieces = np.zeros((groups, each), PIECE)
    pieces["chunk"] = np.arange(groups)[:, None]
    pieces["offset"], pieces["length"] = offsets - starts[:, None], lengths
    return chunks, pieces.ravel()


def _scattered(offsets: NDArray[np.int64], lengths: NDArray[np.int64]) -> bool:
    """Whether much else lies between the pieces of a chunk, both (chunks, pieces)."""
    spans = (offsets + lengths).max(axis=1) - offsets.min(axis=1)
    return bool((spans > _SCATTERED * lengths.sum(axis=1) + _SLACK).any() or spans.max() >= 2**32)


def _compare(dataset: Any, name: str, found: Hdf5Rows, file: RangeFile) -> None:
    for number in {0, len(found.chunks) // 2, len(found.chunks) - 1}:
        _, offset, length, first, count = found.chunks[number].item()
        own = found.pieces[found.pieces["chunk"] == number]
        pieces = [(start, start + size) for _, start, size in own.tolist()]
        ours = found.layout.values(file.range(offset, offset + length), pieces, count, found.shape)
        part = slice(first, first + count)
        theirs = np.moveaxis(dataset[..., part], -1, 0) if found.layout.last else dataset[part]
        if not np.array_equal(ours.reshape(theirs.shape), theirs, equal_nan=theirs.dtype.kind == "f"):
            raise Refused(
                f"{name}: the bytes of its rows from {first} on are not what HDF5 reads there",
                "Copy it again",
            )
