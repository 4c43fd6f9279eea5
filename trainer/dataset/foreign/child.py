"""What an HDF5 file holds, asked of the HDF5 library in a process of its own, which it may crash.

`python -m trainer.dataset.foreign.child FOLDER` reads a question (JSON) from stdin, writes arrays into FOLDER
and an answer (JSON) to stdout.
"""

import io
import json
import resource
import sys
from collections import OrderedDict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from trainer.dataset.foreign.names import CLASSES, Found, find_splits
from trainer.dataset.ranges import CHUNK
from trainer.dataset.reading.layout import FILTERS
from trainer.storage import open_store, split_url

MEMORY_BYTES, CPU_SECONDS = 4 << 30, 600
_BLOCK, _BLOCKS = 256 << 10, 256
_RANGE_BYTES = 4 << 20
_SAMPLE = 64
_MOST = 100_000_000
_HDF5_FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32"}


class Refused(Exception):
    """(problem, remedy)"""


class RangeFile(io.RawIOBase):
    """An object as a file: blocks are fetched as they are read, and some are kept."""

    def __init__(self, url: str, etag: str, size: int) -> None:
        folder, self._key = split_url(url)
        self._store, self._etag, self._size, self._place = open_store(folder), etag, size, 0
        self._blocks: OrderedDict[int, memoryview] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = offset + (0, self._place, self._size)[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and self._place < self._size:
            number, start = divmod(self._place, _BLOCK)
            part = self._block(number)[start : start + len(view) - done]
            view[done : done + len(part)] = part
            done += len(part)
            self._place += len(part)
        return done

    def _block(self, number: int) -> memoryview:
        if number not in self._blocks:
            first, last = number * _BLOCK, min((number + 1) * _BLOCK, self._size)
            self._blocks[number] = self._store.get_range(self._key, first, last, etag=self._etag)
            while len(self._blocks) > _BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(number)
        return self._blocks[number]


def answer(question: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The splits in one file. Raises Refused."""
    import h5py

    with h5py.File(_opened(question), "r") as file, ExitStack() as others:
        beside = question.get("labels_file")
        labels_file = others.enter_context(h5py.File(_opened(beside), "r")) if beside else file
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        wanted = question.get("images"), question.get("labels")
        if wanted[0]:
            for name, place in zip(wanted, (file, labels_file), strict=True):
                if name and name not in place:
                    raise Refused(
                        f"has no dataset {name!r}; its datasets are {', '.join(names) or 'none'}",
                        "Name another",
                    )
            splits = [Found("train", wanted[0], wanted[1] or "")]
        else:
            splits = find_splits(names)
        if not splits:
            raise Refused(
                f"found no images with labels; its datasets are {', '.join(names[:20]) or 'none'}",
                "Name them with --images and --labels",
            )
        shape = question.get("shape")
        return {
            "splits": [
                _split(file, labels_file, found, folder, number, shape) for number, found in enumerate(splits)
            ],
            "classes": _classes(
                file, question.get("classes") or next((n for n in CLASSES if n in names), None)
            ),
        }


def _opened(place: dict[str, Any]) -> RangeFile:
    return RangeFile(place["url"], place["etag"], place["size"])


def _split(
    file: Any, labels_file: Any, found: Found, folder: Path, number: int, shape: list[int] | None
) -> dict[str, Any]:
    images = file[found.images]
    labels = _labels(labels_file[found.labels], found.labels) if found.labels else None
    described = _layout(images, found.images, None if labels is None else len(labels), shape)
    rows = described["rows"]
    if labels is None:
        raise Refused(f"{found.images}: no labels were named", "Name them with --labels")
    if len(labels) != rows:
        raise Refused(f"{found.images} has {rows} rows and {found.labels} {len(labels)}", "Name others")
    np.save(folder / f"{number}.labels.npy", labels)
    np.save(folder / f"{number}.chunks.npy", _chunks(images, found.images, described))
    return {"split": found.split, "images": found.images, "labels": found.labels, **described}


def _labels(dataset: Any, name: str) -> Any:
    """(n,), (n, 1), (1, n) or one-hot (n, k), whole numbers -> int64 (n,)."""
    if dataset.size > _MOST or dataset.dtype.kind not in "iufb":
        raise Refused(f"{name}: expected numbers, received {dataset.shape} of {dataset.dtype}", "Name others")
    values = np.asarray(dataset[()], np.float64)
    if values.ndim == 2 and 1 in values.shape:
        values = values.ravel()
    if values.ndim == 2 and ((values == 0) | (values == 1)).all() and (values.sum(axis=1) == 1).all():
        values = values.argmax(axis=1).astype(np.float64)
    if values.ndim != 1:
        raise Refused(
            f"{name}: expected labels (n,), (n, 1), (1, n) or one-hot (n, classes), received {values.shape}",
            "Name others",
        )
    if not (np.isfinite(values) & (values == np.rint(values)) & (values >= 0)).all():
        wrong = int(np.flatnonzero(~((values == np.rint(values)) & (values >= 0)))[0])
        raise Refused(
            f"{name}: expected whole numbers from 0 on, row {wrong} is {values[wrong]:g}", "Correct them"
        )
    return values.astype(np.int64)


def _classes(file: Any, name: str | None) -> list[str] | None:
    if name is None:
        return None
    if name not in file:
        raise Refused(f"has no dataset {name!r}", "Name another with --classes")
    values = np.asarray(file[name][()]).ravel()[:1_000_000]
    return [v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in values.tolist()]


def _layout(dataset: Any, name: str, count: int | None, shape: list[int] | None) -> dict[str, Any]:
    if dataset.is_virtual or dataset.external:
        raise Refused(f"{name}: its values are in other files", "Copy them into one: h5repack")
    if dataset.dtype.kind not in "uif":
        raise Refused(f"{name}: expected numbers, received {dataset.dtype}", "Name other images")
    axes, row, last, assumed = _axes(dataset.shape, name, count, shape)
    creation = dataset.id.get_create_plist()
    filters = []
    for place in range(creation.get_nfilters()):
        code, _, _, text = creation.get_filter(place)
        if code not in _HDF5_FILTERS:
            raise Refused(
                f"{name}: compressed by {text.decode(errors='replace') or code}; expected {', '.join(FILTERS)} or none",
                "Write it again: h5repack -f GZIP=1",
            )
        filters.append(_HDF5_FILTERS[code])
    sample = np.asarray(dataset[..., :_SAMPLE] if last else dataset[:_SAMPLE], np.float64)
    low, high = float(sample.min()), float(sample.max())
    if not (np.isfinite(sample).all() and low >= 0 and high <= 255):
        raise Refused(
            f"{name}: its values are from {low:g} to {high:g}; expected 0 to 1, or 0 to 255", "Scale them"
        )
    return {
        "rows": dataset.shape[-1] if last else dataset.shape[0],
        "shape": row,
        "assumed": assumed,
        "layout": {
            "dtype": dataset.dtype.str,
            "scale": 255.0 if dataset.dtype.kind == "f" and high <= 1 else 1.0,
            "axes": axes,
            "filters": filters,
            "last": last,
        },
    }


def _axes(
    shape: tuple[int, ...], name: str, count: int | None, given: list[int] | None
) -> tuple[str, list[int], bool, str]:
    """Axes of a row, (H, W, C), whether the rows come last, and what was assumed."""
    if len(shape) == 4 and count in (shape[0], None) and shape[3] in (1, 3):
        return ("HWC" if shape[3] == 3 else "HW", [shape[1], shape[2], 3], False, "")
    if len(shape) == 4 and count in (shape[0], None) and shape[1] in (1, 3):
        return ("CHW" if shape[1] == 3 else "HW", [shape[2], shape[3], 3], False, "")
    if len(shape) == 4 and count == shape[3] and shape[2] in (1, 3):
        return ("HWC" if shape[2] == 3 else "HW", [shape[0], shape[1], 3], True, "")
    if len(shape) == 3 and count in (shape[0], None):
        return "HW", [shape[1], shape[2], 3], False, ""
    if len(shape) == 3 and count == shape[2]:
        return "HW", [shape[0], shape[1], 3], True, ""
    if len(shape) == 2:
        last = count is not None and count != shape[0] and count == shape[1]
        flat = shape[0] if last else shape[1]
        if given and int(np.prod(given)) == flat and given[2] in (1, 3):
            return "HWC" if given[2] == 3 else "HW", [*given[:2], 3], last, ""
        for channels in (3, 1):
            side = round((flat / channels) ** 0.5)
            if side * side * channels == flat and not given:
                said = f"{flat} values a row are taken for {side} x {side} x {channels}"
                return "HWC" if channels == 3 else "HW", [side, side, 3], last, said
    raise Refused(
        f"{name}: expected (n, H, W, 3), (n, 3, H, W), (H, W, 3, n), (n, H, W) or (n, H*W*3), received {shape}"
        + (f" and {count} labels" if count is not None else ""),
        "Name other images, or give --image-shape",
    )


def _chunks(dataset: Any, name: str, described: dict[str, Any]) -> Any:
    rows, last = described["rows"], described["layout"]["last"]
    row_bytes = dataset.nbytes // max(1, rows)
    if dataset.chunks is None:
        offset = dataset.id.get_offset()
        if offset is None:
            raise Refused(
                f"{name}: nothing was written there, or it is stored in its header", "Write it again"
            )
        per = rows if last else max(1, _RANGE_BYTES // row_bytes)
        firsts = np.arange(0, rows, per)
        table = np.zeros(len(firsts), CHUNK)
        table["first"], table["rows"] = firsts, np.minimum(per, rows - firsts)
        table["offset"] = offset + firsts * row_bytes
        lengths = table["rows"].astype(np.int64) * row_bytes
        if lengths.max() >= 2**32:
            raise Refused(
                f"{name}: rows that come last cannot be read apart, and are {lengths.max():,} bytes",
                "Write them first",
            )
        table["length"] = lengths
        return table
    whole = dataset.chunks[:-1] == dataset.shape[:-1] if last else dataset.chunks[1:] == dataset.shape[1:]
    if not whole or (last and dataset.chunks != dataset.shape):
        raise Refused(
            f"{name}: its chunks of {dataset.chunks} cut images of {dataset.shape} into pieces",
            "Write it again: h5repack -l CHUNK=…",
        )
    table = np.zeros(dataset.id.get_num_chunks(), CHUNK)
    for number in range(len(table)):
        info = dataset.id.get_chunk_info(number)
        if info.filter_mask:
            raise Refused(f"{name}: chunk {number} left out a filter", "Write it again: h5repack")
        first = 0 if last else info.chunk_offset[0]
        count = rows if last else min(dataset.chunks[0], rows - first)
        table[number] = (0, info.byte_offset, info.size, first, count)
    table.sort(order="first")
    if int(table["rows"].sum()) != rows:
        raise Refused(f"{name}: some of its chunks were never written", "Write it again")
    return table


def main() -> None:
    question = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        found = answer(question, Path(sys.argv[1]))
    except Refused as error:
        found = {"problem": error.args[0], "remedy": error.args[1]}
    except Exception as error:
        # A damaged file makes h5py raise errors of many kinds.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        found = {"problem": f"not an HDF5 file, or a damaged one ({reason})", "remedy": "Copy it again"}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
