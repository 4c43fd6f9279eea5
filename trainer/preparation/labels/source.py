"""What every convention finds: labelled images, and what was left out."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DataError
from trainer.images.files import natural
from trainer.output.units import plural
from trainer.preparation.labels.file_listing import Listing
from trainer.storage.base import Store

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom lie outside."""

MAX_NAMED = 5


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image: its key in the source's store, the number of its class, and the part to use, if not all."""

    key: str
    label: int
    crop: Box | None = None


@dataclass(frozen=True)
class NamesAndCount:
    """How many there are, and the first few by name."""

    count: int = 0
    first: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: Collection[str]) -> "NamesAndCount":
        return cls(len(names), tuple(map(printable, islice(names, MAX_NAMED))))


@dataclass(frozen=True)
class LabelledImages:
    """Labelled images. `splits` has "train", and "validation" and "test" where the source has them.

    `labels` names the convention; `ignored` are files that are not images or have no label, `missing` those
    that have a label and are not there; `warnings` are sentences for a person.
    """

    store: Store
    classes: tuple[str, ...]
    splits: dict[str, tuple[LabelledImage, ...]]
    labels: str
    ignored: NamesAndCount = NamesAndCount()
    missing: NamesAndCount = NamesAndCount()
    warnings: tuple[str, ...] = ()
    pixels: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict, repr=False)

    def load(self, item: LabelledImage) -> bytes | NDArray[np.uint8]:
        """An image's file, or its pixels (H, W, 3) where the source has no file for each."""
        image = self.pixels.get(item.key)
        return self.store.get(item.key) if image is None else image


def assemble(
    listing: Listing,
    labels: str,
    classes: Sequence[str],
    splits: Mapping[str, Iterable[LabelledImage]],
    *,
    missing: Collection[str] = (),
    read: Collection[str] = (),
    pixels: Mapping[str, NDArray[np.uint8]] | None = None,
    warnings: Sequence[str] = (),
) -> LabelledImages:
    """Check what a convention found, and put it in order: by class, then by name, numbers as numbers.

    `read` are the files that the labels come from. Classes without any image are left out, with a warning.
    Raises DataError where no image is there, where one is in two splits, and for a class that has images to
    validate or to test on but none to train on.
    """
    found = {split: list(items) for split, items in splits.items()}
    where = listing.store.url
    seen: dict[str, str] = {}
    for split, items in found.items():
        for item in items:
            if item.key in seen:
                raise DataError(
                    f"{where}/{item.key} has two labels, in {seen[item.key]} and in {split}",
                    "Remove one of them",
                )
            seen[item.key] = split
    if not seen:
        some = f", such as {', '.join(NamesAndCount.of(missing).first)}" if missing else ""
        raise DataError(
            f"{where}: none of the images that have a label is there{some}",
            "Give the folder that holds images and labels",
        )
    counts = {split: Counter(item.label for item in items) for split, items in found.items()}
    train = counts.get("train", Counter())
    for split, count in counts.items():
        for label in count:
            if label not in train:
                raise DataError(
                    f"{where}: the class {classes[label]!r} has images in {split}, but no training images",
                    "Add some, or remove the class",
                )
    kept = [label for label in range(len(classes)) if label in train]
    new = {label: number for number, label in enumerate(kept)}
    names = tuple(classes[label] for label in kept)
    ordered = {
        split: tuple(
            LabelledImage(item.key, new[item.label], item.crop)
            for item in sorted(items, key=lambda item: (item.label, natural(item.key)))
        )
        for split, items in found.items()
        if items
    }
    dropped = [classes[label] for label in range(len(classes)) if label not in train]
    single = [classes[label] for label in kept if train[label] == 1]
    told = [
        *warnings,
        *([f"skipped classes without images: {_some(dropped, 'class')}"] if dropped else []),
        *([f"all images are of one class, {printable(names[0])}"] if len(names) == 1 else []),
        *([f"one training image only: {_some(single, 'class')}"] if single else []),
    ]
    used = seen.keys() | set(read)
    return LabelledImages(
        listing.store,
        names,
        ordered,
        labels,
        NamesAndCount.of([key for key in listing.keys if key not in used]),
        NamesAndCount.of(missing),
        tuple(told),
        pixels or {},
    )


def printable(name: str) -> str:
    """A file's name on one line, whatever is in it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _some(names: Sequence[str], noun: str) -> str:
    some = NamesAndCount.of(names)
    return (
        f"{plural(some.count, noun)} ({', '.join(some.first)}{', …' if some.count > len(some.first) else ''})"
    )
