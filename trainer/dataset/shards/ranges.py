"""Rows -> the byte ranges that hold them: pure, from the table of chunks."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CHUNK = np.dtype([("object", "<u4"), ("offset", "<u8"), ("length", "<u4"), ("first", "<u8"), ("rows", "<u4")])
"""One chunk of whole images: the number of its object, its bytes there, its first row and its rows."""
PIECE = np.dtype([("chunk", "<u4"), ("offset", "<u4"), ("length", "<u4")])
"""A part of a chunk: the number of the chunk, and its bytes within the chunk's."""
RANGE_BYTES = 8 << 20
"""Maximum size of one request. The sweet spot of S3 is 8 to 16 MB."""
NO_PIECES: NDArray[np.void] = np.zeros(0, PIECE)


class Range(NamedTuple):
    """Bytes [start, stop) of object `number`: the images of `rows` asked rows, from the `place`-th on."""

    number: int
    start: int
    stop: int
    place: int
    rows: int


def blocks(chunks: NDArray[np.void], max_bytes: int) -> NDArray[np.int64]:
    """The rows of each block, int64 (blocks,): chunks that follow each other in an object, together about
    `max_bytes` at most (at least one chunk)."""
    ends = chunks["offset"] + chunks["length"]
    joins = (chunks["object"][1:] == chunks["object"][:-1]) & (chunks["offset"][1:] == ends[:-1])
    runs = np.concatenate([[0], np.flatnonzero(~joins) + 1])
    lengths = chunks["length"].astype(np.int64)
    starts = np.cumsum(lengths) - lengths
    within = (starts - np.repeat(starts[runs], np.diff([*runs, len(chunks)]))) // max_bytes
    begins = np.concatenate([[True], ~joins | (within[1:] != within[:-1])])
    rows: NDArray[np.int64] = np.add.reduceat(chunks["rows"].astype(np.int64), np.flatnonzero(begins))
    return rows


def piece_ranges(
    chunks: NDArray[np.void], pieces: NDArray[np.void], rows: NDArray[np.int64], max_bytes: int
) -> list[tuple[Range, NDArray[np.int64]]]:
    """The ranges of rows that are each a piece of its own, `pieces` (rows of the split,), and where in each
    range its rows end, int64 (n,); see `byte_ranges`."""
    asked = pieces[rows]
    chunk = chunks[asked["chunk"]]
    starts = chunk["offset"].astype(np.int64) + asked["offset"]
    stops = starts + asked["length"]
    ranges, first = [], 0
    for place in range(1, len(rows) + 1):
        if (
            place == len(rows)
            or chunk["object"][place] != chunk["object"][first]
            or starts[place] != stops[place - 1]
            or stops[place] - starts[first] > max_bytes
        ):
            part = Range(
                int(chunk["object"][first]), int(starts[first]), int(stops[place - 1]), first, place - first
            )
            ranges.append((part, stops[first:place] - starts[first]))
            first = place
    return ranges


def byte_ranges(
    chunks: NDArray[np.void], row_bytes: int, rows: NDArray[np.int64], max_bytes: int
) -> list[Range]:
    """The ranges of exactly the bytes of `rows`, int64 (n,), in their order, of uncompressed chunks.

    Bytes that follow each other in an object become one range, or as many even ones as none has more than
    `max_bytes` (at least one row).
    """
    if not len(rows):
        return []
    chunk = np.searchsorted(chunks["first"], rows, side="right") - 1
    objects = chunks["object"][chunk]
    starts = chunks["offset"][chunk] + (rows - chunks["first"][chunk].astype(np.int64)) * row_bytes
    breaks = (objects[1:] != objects[:-1]) | (starts[1:] != starts[:-1] + row_bytes)
    runs = np.concatenate([[0], np.flatnonzero(breaks) + 1, [len(rows)]])
    most = max(1, max_bytes // row_bytes)
    ranges = []
    for run, end in zip(runs[:-1].tolist(), runs[1:].tolist(), strict=True):
        even = -(-(end - run) // -(-(end - run) // most))
        for place in range(run, end, even):
            count = min(even, end - place)
            start = int(starts[place])
            ranges.append(Range(int(objects[place]), start, start + count * row_bytes, place, count))
    return ranges
