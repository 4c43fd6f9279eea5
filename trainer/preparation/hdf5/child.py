"""What an HDF5 file holds, asked of the HDF5 library in a process of its own, which it may crash.

`python -m trainer.preparation.hdf5.child FOLDER` reads a question (JSON) from stdin, writes arrays into
FOLDER and an answer (JSON) to stdout: `ask` of trainer.preparation.hdf5.process does both.
"""

import importlib
import json
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DataError, one_line
from trainer.output.units import abbreviate
from trainer.preparation.hdf5.extract import extract
from trainer.preparation.hdf5.file_datasets import Datasets, Refused, fuel_splits, list_datasets
from trainer.preparation.hdf5.find_rows import find_rows, stretch
from trainer.preparation.hdf5.form import find_form
from trainer.preparation.hdf5.names import (
    Ambiguous,
    Found,
    Roles,
    class_attribute,
    find_classes,
    find_splits,
)
from trainer.preparation.hdf5.range_file import RangeFile
from trainer.preparation.hdf5.read_labels import classes_in, read_classes, read_labels

MEMORY_BYTES, CPU_SECONDS = 4 << 30, 600
NO_CLASSES = "none"
"""The name of no dataset: classes are called by their numbers."""
_CACHE_BYTES = 256 << 20
_SHOWN = 20
_NAME = (
    "Name the images and labels of each split: --train IMAGES,LABELS --test IMAGES,LABELS (prepare: --hdf5 "
    "train=IMAGES,LABELS)"
)


def answer(question: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What is asked: the splits in a file, or rows of one of its datasets, which go into `folder`.

    Raises Refused, and for a damaged file errors of many kinds.
    """
    import h5py

    with suppress(ImportError):
        importlib.import_module("hdf5plugin")  # filters beyond those that come with h5py

    with ExitStack() as opened:
        raw = RangeFile(**question["file"])
        file = opened.enter_context(h5py.File(raw, "r", rdcc_nbytes=_CACHE_BYTES))
        if question["task"] == "extract":
            rows = {name: question[name] for name in ("start", "stop", "last", "encoded")}
            extract(file[question["images"]], **rows, folder=folder)
            return {}
        datasets = list_datasets(file)
        labels_file, labels_datasets = file, datasets
        if question["labels_file"]:
            labels_file = opened.enter_context(h5py.File(RangeFile(**question["labels_file"]), "r"))
            labels_datasets = list_datasets(labels_file)
        wanted, roles = _wanted(question, file, datasets, labels_datasets)
        classes = _classes(question["classes"], [(file, datasets), (labels_file, labels_datasets)])
        return {
            "splits": [
                _split(split, datasets.found, labels_datasets.found, (labels_file, raw), question, folder)
                for split in enumerate(wanted)
            ],
            "images_only": [[*key, name] for key, name in roles.images.items()] if not wanted else [],
            "labels_only": [[*key, name] for key, name in roles.labels.items()] if not wanted else [],
            "classes": classes,
        }


class _Wanted(NamedTuple):
    """A split's datasets, and its rows in each where these are not all: [start, stop), or their numbers."""

    found: Found
    images: tuple[int, int] | None = None
    labels: tuple[int, int] | None = None
    rows: Any = None


def _wanted(
    question: dict[str, Any], file: Any, datasets: Datasets, labels_datasets: Datasets
) -> tuple[list[_Wanted], Roles]:
    images, labels = question["images"], question["labels"]
    roles = Roles([], {}, {})
    if images is None and labels is None:
        if fuel := _of_fuel(file, datasets.found):
            return fuel, roles
        flat = [name for name, dataset in datasets.found.items() if _is_flat(dataset)]
        try:
            roles = find_splits(datasets.found, flat)
            if not roles.splits:  # or what is wrong with these is the better message
                roles = find_splits(datasets.found)
        except Ambiguous as error:
            raise Refused(f"expected one pair of images and labels, found {error}", _NAME) from None
        if not roles.splits and not (question["several"] and (roles.images or roles.labels)):
            raise Refused(
                f"found no images with labels among its datasets: {_listed(datasets)}",
                "Name them with --images and --labels (prepare: --hdf5 IMAGES,LABELS)",
            )
        return [_Wanted(found) for found in roles.splits], roles
    if images is None or labels is None:
        missing = "--images" if images is None else "--labels"
        raise Refused(f"expected --images and --labels together, {missing} is missing", "Name both")
    names = [images.strip("/"), labels.strip("/")]
    for name, known in zip(names, (datasets, labels_datasets), strict=True):
        if name not in known.found:
            raise _no_dataset(name, known)
    return [_Wanted(Found("", *names))], roles


def _of_fuel(file: Any, found: dict[str, Any]) -> list[_Wanted]:
    wanted = []
    for split in fuel_splits(file):
        roles = find_splits([name for name in split.sources if name in found])
        for pair in roles.splits:
            rows: Any = split.rows.get(pair.images)
            other: Any = split.rows.get(pair.labels)
            if rows is not other and not np.array_equal(rows, other):
                raise Refused(f"its split {split.split} has other rows of images than of labels", _NAME)
            ranges = split.sources[pair.images], split.sources[pair.labels]
            wanted.append(_Wanted(Found(split.split, pair.images, pair.labels), *ranges, rows))
    return wanted


def _split(
    numbered: tuple[int, _Wanted],
    images: dict[str, Any],
    labels: dict[str, Any],
    files: tuple[Any, RangeFile],
    question: dict[str, Any],
    folder: Path,
) -> dict[str, Any]:
    number, (found, images_range, labels_range, chosen) = numbered
    labels_file, raw = files
    dataset = images[found.images]
    known = read_labels(labels[found.labels], found.labels, labels_file)
    form = find_form(dataset, found.images, len(known.values), question["shape"])
    values, rows = known.values, np.arange(form.rows)
    if images_range:
        for start, stop in (images_range, labels_range or images_range):
            if not 0 <= start < stop <= form.rows:
                raise Refused(f"its split {found.split} has the rows {start} to {stop} of {form.rows}", _NAME)
        values, rows = values[slice(*(labels_range or images_range))], rows[slice(*images_range)]
    if chosen is not None:
        if not len(chosen) or not (chosen.min() >= 0 and chosen.max() < form.rows):
            raise Refused(f"its split {found.split} has rows beyond the {form.rows}", _NAME)
        values, rows = known.values[chosen], chosen
    if len(values) != len(rows):
        raise Refused(f"its split {found.split} has {len(rows)} images and {len(values)} labels", _NAME)
    document: dict[str, Any] = {
        "split": found.split,
        "images": found.images,
        "labels": found.labels,
        "names": known.names,
        "ordered": known.ordered,
        "matlab": known.matlab,
    }
    arrays: dict[str, NDArray[Any]] = {"labels": values, "numbers": rows}
    if question["task"] == "convert":
        document["form"] = form.document()
    else:
        if chosen is not None:
            raise Refused(f"its split {found.split} names its rows one by one", convertible=True)
        stored = find_rows(dataset, found.images, form, raw)
        if images_range:
            stored = stretch(stored, *images_range, found.images)
        document |= stored.document()
        arrays |= {"chunks": stored.chunks, "pieces": stored.pieces}
    for array, content in arrays.items():
        np.save(folder / f"{number}.{array}.npy", content)
    return document


def _classes(named: str | None, files: list[tuple[Any, Datasets]]) -> list[str] | None:
    """The names of the classes, in the first of the files that has some."""
    if named == NO_CLASSES:
        return None
    for file, datasets in files:
        name = named if named in datasets.found else None if named else find_classes(datasets.found)
        if name:
            return read_classes(datasets.found[name], name, file)
        if not named and (attribute := class_attribute(file.attrs)):
            return classes_in(file.attrs[attribute], f"its attribute {attribute}")
    if named:
        raise _no_dataset(named, files[0][1])
    return None


def _is_flat(dataset: Any) -> bool:
    return dataset.ndim < 2 and dataset.dtype.kind in "iufb"


def _no_dataset(name: str, datasets: Datasets) -> Refused:
    return Refused(f"has no dataset {name!r}; its datasets: {_listed(datasets)}", "Name one of them")


def _listed(datasets: Datasets) -> str:
    broken = f"; links into other files, or to nothing: {abbreviate(datasets.broken, _SHOWN)}"
    return (abbreviate(list(datasets.found), _SHOWN) or "none") + (broken if datasets.broken else "")


def main() -> None:
    """Raises DataError."""
    question = json.load(sys.stdin)
    try:
        print(json.dumps(answer(question, Path(sys.argv[1]))))
    except Refused as error:
        print(json.dumps({"problem": str(error), "remedy": error.remedy, "convertible": error.convertible}))
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
