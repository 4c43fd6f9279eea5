"""What the rows of an HDF5 dataset of images are, wherever they lie."""

from dataclasses import asdict, dataclass
from math import prod
from typing import Any, NamedTuple, cast

import numpy as np

from trainer.dataset.shards.row_layout import Axes, RowLayout
from trainer.preparation.hdf5.file_datasets import Refused, matlab_class

Shape = tuple[int, int, int]

_SAMPLE_ROWS, _SAMPLE_BYTES = 64, 64 << 20
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*", b"P5", b"P6")


@dataclass(frozen=True)
class Form:
    """The images (H, W, 3) of a dataset: their stored form, or `encoded` where each row is a file.

    `chunk_rows` are the rows that HDF5 decompresses together; `assumed` says what could also be otherwise.
    """

    rows: int
    shape: Shape
    layout: RowLayout
    chunk_rows: int = 1
    assumed: str = ""
    encoded: bool = False

    @property
    def last(self) -> bool:
        """Whether the rows are the last axis."""
        return self.layout.last

    def document(self) -> dict[str, Any]:
        """Returns values for JSON."""
        return asdict(self)


def find_form(dataset: Any, name: str, count: int, given: list[int] | None) -> Form:
    """The form of images with `count` labels; `given` is an image's shape for flat rows. Raises Refused."""
    if dataset.is_virtual or dataset.external:
        raise Refused(f"{name}: its values are in other files", "Write them into one file with h5py")
    if not dataset.size:
        raise Refused(f"{name}: expected images, received {dataset.shape}", "Name other images")
    _check_readable(dataset, name)
    if _is_encoded(dataset):
        if dataset.shape[0] != count:
            raise _other_count(name, dataset.shape[0], dataset.shape, count)
        shape = _first_shape(dataset, name)
        return Form(count, shape, RowLayout(), dataset.chunks[0] if dataset.chunks else 1, "", True)
    if dataset.dtype.kind not in "uif":
        raise Refused(f"{name}: expected numbers, received {dataset.dtype}", "Name other images")
    axes = _axes(dataset.shape, name, count, given, matlab=bool(matlab_class(dataset)))
    rows = dataset.shape[-1 if axes.last else 0]
    if rows != count:
        raise _other_count(name, rows, dataset.shape, count)
    scale = _scale(dataset, name, axes.last)
    layout = RowLayout(dtype=dataset.dtype.str, scale=scale, axes=axes.order, last=axes.last)
    chunk_rows = dataset.chunks[-1 if axes.last else 0] if dataset.chunks else 1
    return Form(rows, axes.shape, layout, chunk_rows, axes.assumed)


def _check_readable(dataset: Any, name: str) -> None:
    """Raises Refused where rows were never written, or by a filter that is not here."""
    import h5py

    creation = dataset.id.get_create_plist()
    for number in range(creation.get_nfilters()):
        code, _, _, text = creation.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            raise Refused(
                f"{name}: compressed by {text.decode(errors='replace') or 'a filter'} ({code}), which h5py "
                "does not have here",
                "pip install hdf5plugin, or write it again with gzip",
            )
    written = bool(dataset.id.get_storage_size())
    if dataset.chunks:
        counts = (-(-length // part) for length, part in zip(dataset.shape, dataset.chunks, strict=True))
        written = dataset.id.get_num_chunks() == prod(counts)
    if not written:
        what = "some of its chunks were never written" if dataset.chunks else "nothing was written"
        raise Refused(f"{name}: {what}", "Write all of its rows, or name others")


def _other_count(name: str, rows: int, shape: tuple[int, ...], count: int) -> Refused:
    return Refused(f"{name}: {rows:,} images in its shape {shape}, and {count:,} labels", "Name others")


class _Axes(NamedTuple):
    order: Axes
    shape: Shape
    last: bool = False
    assumed: str = ""


def _axes(stored: tuple[int, ...], name: str, count: int, given: list[int] | None, *, matlab: bool) -> _Axes:
    """Chosen by the number of labels, and where channels can be. Grey images become (H, W, 3).

    MATLAB names the axes of a variable from its last to its first one in the file.
    """
    last = len(stored) > 1 and stored[-1] == count and stored[0] != count
    row = stored[:-1] if last else stored[1:]
    flat = len(row) == 1
    if matlab:
        row = row[::-1]
    if found := _letters(row, given):
        order, shape = found
        assumed = ""
        if flat and not given:
            channels = 3 if "C" in order else 1
            assumed = (
                f"the {row[0]:,} values of a row of {name} are assumed to be {shape[0]} x {shape[1]} x "
                f"{channels}" + (", column by column, as MATLAB has them" if matlab else "")
            )
        return _Axes(cast(Axes, order[::-1] if matlab else order), shape, last, assumed)
    raise Refused(
        f"{name}: expected images (n, H, W, 3), (n, 3, H, W), (n, H, W), (n, H*W*3), or n as the last axis, "
        f"received {stored} and {count:,} labels" + (f" and --image-shape {given}" if given else ""),
        "Name others, or give --image-shape",
    )


def _letters(row: tuple[int, ...], given: list[int] | None) -> tuple[str, Shape] | None:
    if not all(row):
        return None
    if len(row) == 3 and row[2] in (1, 3):
        return ("HWC" if row[2] == 3 else "HW"), (row[0], row[1], 3)
    if len(row) == 3 and row[0] in (1, 3):
        return ("CHW" if row[0] == 3 else "HW"), (row[1], row[2], 3)
    if len(row) == 2:
        return "HW", (row[0], row[1], 3)
    if len(row) == 1 and given:
        return _letters(tuple(given), None) if prod(given) == row[0] else None
    if len(row) == 1:
        for channels in (3, 1):
            side = round((row[0] / channels) ** 0.5)
            if side and side * side * channels == row[0]:
                return ("HWC" if channels == 3 else "HW"), (side, side, 3)
    return None


def _scale(dataset: Any, name: str, last: bool) -> float:
    """The factor by which its values become 0..255, from the first, the middle and the last rows; where many
    rows are the last axis, from such pixels of all rows, which lie together."""
    columns = last and dataset.nbytes <= _SAMPLE_BYTES
    length = dataset.shape[-1 if columns else 0]
    count = max(1, min(_SAMPLE_ROWS, _SAMPLE_BYTES // max(1, dataset.nbytes // length)) // 3)
    low, high = np.inf, -np.inf
    for first in {0, max(0, length // 2 - count), max(0, length - count)}:
        part = slice(first, first + count)
        sample = dataset[..., part] if columns else dataset[part]
        low, high = np.minimum(low, sample.min()), np.maximum(high, sample.max())
    if not (low >= 0 and high <= 255):
        raise Refused(
            f"{name}: its values are from {low:g} to {high:g}; expected 0 to 1 or 0 to 255", "Scale them"
        )
    return 255.0 if dataset.dtype.kind == "f" and high <= 1 else 1.0


def _is_encoded(dataset: Any) -> bool:
    """Whether the rows are bytes: of a length of their own each, opaque, or padded."""
    import h5py

    kind = h5py.check_vlen_dtype(dataset.dtype)
    if kind is not None or h5py.check_string_dtype(dataset.dtype) or dataset.dtype.kind == "V":
        return bool(dataset.size == dataset.shape[0])
    if dataset.ndim == 2 and dataset.dtype == np.uint8:
        return bytes(dataset[0, :4]).startswith(_SIGNATURES[:2])
    return False


def file_of(value: Any) -> bytes:
    """The bytes of one row of files."""
    while isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.ravel()[0]
    return value if isinstance(value, bytes) else np.asarray(value).tobytes()


def _first_shape(dataset: Any, name: str) -> Shape:
    data = file_of(dataset[0])
    if not data.startswith(_SIGNATURES):
        raise Refused(
            f"{name}: expected numbers or files of images, row 0 begins with {data[:8]!r}",
            "Name other images",
        )
    return 0, 0, 3
