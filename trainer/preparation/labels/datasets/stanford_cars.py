"""Stanford Cars: images in `cars_train` and `cars_test`, with MATLAB's files of the devkit.

`cars_train_annos.mat` and `cars_test_annos_withlabels.mat` have name, class (counted from 1) and box of each
image, `cars_meta.mat` the names of the classes. The later `cars_annos.mat` has all of it, for `car_ims`.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from trainer.errors import DataError
from trainer.preparation.labels.file_listing import Listing
from trainer.preparation.labels.formats.matlab import Variable, read_variable
from trainer.preparation.labels.source import Box, LabelledImage, LabelledImages, assemble

NAME = "stanford-cars"
TRAIN, META, ALL = "cars_train_annos.mat", "cars_meta.mat", "cars_annos.mat"
_TEST = re.compile(r"(?:.*/)?cars_test_annos_withlabels[^/]*\.mat")
_DAMAGED = "Download it again"


def plausible(listing: Listing) -> bool:
    return bool(listing.named(TRAIN, ALL))


def read(listing: Listing, *, crop: bool = False) -> LabelledImages:
    """Reads the annotations; images that are annotated and missing are in `LabelledImages.missing`.

    With `crop` an image is its box. Raises DataError for a file that is damaged, or does not fit the others.
    """
    files = {"train": _one(listing, listing.named(TRAIN, ALL), TRAIN)}
    single = files["train"].endswith(ALL)
    meta = files["train"] if single else _one(listing, listing.named(META), META)
    tests = [key for key in listing.keys if _TEST.fullmatch(key)]
    if tests and not single:
        files["test"] = _one(listing, tests, "cars_test_annos_withlabels.mat")
    names = [str(name) for name in read_variable(listing.url(meta), listing.read(meta), "class_names").rows]
    splits: dict[str, list[LabelledImage]] = {}
    missing: list[str] = []
    for split, file in files.items():
        where = listing.url(file)
        rows = _rows(where, read_variable(where, listing.read(file), "annotations"), len(names))
        folder = "car_ims" if single else f"cars_{split}"
        images = _by_name(listing, folder, any_folder=len(files) == 1)
        for name, label, box, for_test in rows:
            key = images.get(name.rpartition("/")[2])
            if key is None:
                missing.append(f"{folder}/{name.rpartition('/')[2]}")
            else:
                item = LabelledImage(key, label, box if crop else None)
                splits.setdefault("test" if for_test else split, []).append(item)
    return assemble(
        listing, NAME, names, splits, missing=missing, read=[*files.values(), meta, *listing.named(META)]
    )


def _one(listing: Listing, found: list[str], name: str) -> str:
    if len(found) != 1:
        raise DataError(
            f"{listing.store.url}: expected one {name}, found {', '.join(found) or 'none'}",
            "Put the files of the devkit beside the images",
        )
    return found[0]


def _rows(where: str, annotations: Variable, classes: int) -> Iterator[tuple[str, int, Box, bool]]:
    """The name, the class counted from 0, the box, and whether it is for the test, of each image."""
    fields = annotations.fields
    name = next((field for field in ("fname", "relative_im_path") if field in fields), "")
    boxes = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
    if not name or "class" not in fields or not set(boxes) <= set(fields):
        raise DataError(
            f"{where}: expected the fields {', '.join(boxes)}, class and fname, found "
            f"{', '.join(fields) or 'none'}",
            _DAMAGED,
        )
    for number, row in enumerate(annotations.rows, 1):
        values = _whole(row[field] for field in (*boxes, "class", *(["test"] if "test" in fields else [])))
        if values is None or not isinstance(row[name], str):
            raise DataError(
                f"{where}: annotation {number}: expected whole numbers and a name, found {str(row)[:80]}",
                _DAMAGED,
            )
        left, top, right, bottom, label = values[:5]
        if not 1 <= label <= classes:
            raise DataError(
                f"{where}: annotation {number}: expected a class from 1 to {classes}, found {label}",
                "Count the classes from 1, as cars_meta.mat names them",
            )
        # MATLAB counts pixels from 1, and the last one belongs to the box.
        yield row[name], label - 1, (left - 1, top - 1, right, bottom), values[5:] == [1]


def _whole(values: Iterable[Any]) -> list[int] | None:
    try:
        numbers = [(int(value), float(value)) for value in values]
    except (TypeError, ValueError, OverflowError):
        return None
    return [whole for whole, exact in numbers] if all(a == b for a, b in numbers) else None


def _by_name(listing: Listing, folder: str, *, any_folder: bool) -> dict[str, str]:
    """Name -> key of the images in the folders of this name; where there is none, in any."""
    own = [key for key in listing.images if key.split("/")[-2:-1] == [folder]]
    found: dict[str, str] = {}
    for key in own or (listing.images if any_folder else ()):
        name = key.rpartition("/")[2]
        if name in found:
            raise DataError(
                f"{listing.store.url}: {found[name]} and {key} have the name of one annotated image",
                f"Put the images into one folder {folder}",
            )
        found[name] = key
    return found
