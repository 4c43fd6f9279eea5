"""What an HDF5 file holds, asked of the HDF5 library in a process of its own, which it may crash.

`python -m trainer.preparation.hdf5.child FOLDER` reads a question (JSON) from stdin, writes arrays into
FOLDER and an answer (JSON) to stdout: `ask` of trainer.preparation.hdf5.process does both.
"""

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from trainer.errors import DataError, one_line
from trainer.output.units import abbreviate
from trainer.preparation.hdf5.find_rows import find_rows
from trainer.preparation.hdf5.names import CLASSES, Found, find_splits
from trainer.preparation.hdf5.range_file import RangeFile
from trainer.preparation.hdf5.read_labels import read_classes, read_labels
from trainer.preparation.hdf5.refused import Refused

MEMORY_BYTES, CPU_SECONDS = 4 << 30, 600
_SHOWN = 20


def answer(question: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The splits in one file. Raises Refused, and for a damaged file errors of many kinds."""
    import h5py

    images, labels, classes = question["images"], question["labels"], question["classes"]
    with ExitStack() as opened:
        raw = RangeFile(**question["file"])
        file = opened.enter_context(h5py.File(raw, "r"))
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        labels_file, labels_names = file, names
        if question["labels_file"]:
            labels_file = opened.enter_context(h5py.File(RangeFile(**question["labels_file"]), "r"))
            labels_names = [labels] if labels in labels_file else list(labels_file)
        splits = _splits(images, labels, names, labels_names)
        classes = classes or next((name for name in CLASSES if name in names), None)
        if classes and classes not in names:
            raise _no_dataset(classes, names)
        found = []
        for number, split in enumerate(splits):
            values = read_labels(labels_file[split.labels], split.labels)
            rows = find_rows(file[split.images], split.images, len(values), question["shape"], raw)
            for array, content in (("labels", values), ("chunks", rows.chunks), ("pieces", rows.pieces)):
                np.save(folder / f"{number}.{array}.npy", content)
            found.append(
                {"split": split.split, "images": split.images, "labels": split.labels} | rows.document()
            )
        return {"splits": found, "classes": read_classes(file[classes], classes) if classes else None}


def _splits(images: str | None, labels: str | None, names: list[str], labels_names: list[str]) -> list[Found]:
    if images is None and labels is None:
        splits = find_splits(names)
        if not splits:
            raise Refused(
                f"found no images with labels among its datasets: {_listed(names)}",
                "Name them with --images and --labels",
            )
        return splits
    if images is None or labels is None:
        missing = "--images" if images is None else "--labels"
        raise Refused(f"expected --images and --labels together, {missing} is missing", "Name both")
    for name, known in ((images, names), (labels, labels_names)):
        if name.strip("/") not in known:
            raise _no_dataset(name, known)
    return [Found("", images, labels)]


def _no_dataset(name: str, names: list[str]) -> Refused:
    return Refused(f"has no dataset {name!r}; its datasets: {_listed(names)}", "Name one of them")


def _listed(names: list[str]) -> str:
    return abbreviate(names, _SHOWN) or "none"


def main() -> None:
    """Raises DataError."""
    question = json.load(sys.stdin)
    try:
        print(json.dumps(answer(question, Path(sys.argv[1]))))
    except Refused as error:
        raise DataError(str(error), error.remedy) from None
    except MemoryError:
        raise DataError(
            f"HDF5 needs over {MEMORY_BYTES >> 30} GiB for it: damaged, or of very large rows",
            "Make a dataset of the images: trainer prepare",
        ) from None
    except Exception as error:
        # A damaged file makes h5py raise errors of many kinds.
        reason = one_line(error)[:200]
        raise DataError(f"not an HDF5 file, or a damaged one ({reason})", "Copy it again") from None


if __name__ == "__main__":
    main()
