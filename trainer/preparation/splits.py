"""Random splits of the images by a seed: pure."""

from collections.abc import Collection
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.counter_rng import permutation
from trainer.errors import ConfigError, DataError
from trainer.preparation.labels import LabelledImage, LabelledImages

T = TypeVar("T")

_STRATIFIED, _SHUFFLED, _LIMITED, _SPREAD = 11, 12, 13, 14

DEFAULT_FRACTION = 0.15
"""The fraction of the images for validation, and for testing, where nobody names one."""


def stratified(labels: NDArray[np.integer], share: float, seed: int) -> NDArray[np.bool_]:
    """Choose `share` of the rows, of each class the same share as far as whole rows allow: bool (rows,).

    The chosen are round(share * rows) in all; what the classes' fractions leave over goes to the classes
    with the largest fractions (Hamilton's method). Of no class all rows are chosen.
    """
    counts = np.bincount(labels)
    exact = counts * share
    take = np.minimum(np.floor(exact).astype(np.int64), np.maximum(counts - 1, 0))
    room = np.maximum(counts - 1, 0) - take
    missing = round(share * len(labels)) - int(take.sum())
    for label in np.argsort(take - exact, kind="stable").tolist():
        if missing > 0 and room[label] > 0:
            take[label] += 1
            missing -= 1
    chosen = np.zeros(len(labels), np.bool_)
    for label, count in enumerate(take.tolist()):
        rows = np.flatnonzero(labels == label)
        chosen[rows[permutation(len(rows), _STRATIFIED, seed, label)[:count]]] = True
    return chosen


def shuffled(items: list[T], seed: int) -> list[T]:
    """The items in random order."""
    return [items[place] for place in permutation(len(items), _SHUFFLED, seed).tolist()]


def limited(items: list[LabelledImage], most: int, seed: int) -> list[LabelledImage]:
    """Chooses `most` images of each class at random, and keeps their order."""
    labels = np.array([item.label for item in items])
    chosen = np.zeros(len(items), np.bool_)
    for label in np.unique(labels).tolist():
        rows = np.flatnonzero(labels == label)
        chosen[rows[permutation(len(rows), _LIMITED, seed, label)[:most]]] = True
    return [item for item, taken in zip(items, chosen, strict=True) if taken]


def spread(items: list[LabelledImage], count: int, seed: int) -> list[LabelledImage]:
    """`count` images in the order in which they were: one of each class, then of each class at random as
    many as its share of all of them."""
    labels = np.array([item.label for item in items])
    places: list[tuple[bool, float, int, int]] = []
    for label in np.unique(labels).tolist():
        rows = np.flatnonzero(labels == label)
        order = rows[permutation(len(rows), _SPREAD, seed, label)].tolist()
        places += [(rank > 0, (rank + 0.5) / len(rows), label, row) for rank, row in enumerate(order)]
    return [items[row] for row in sorted(row for *_, row in sorted(places)[:count])]


def default_fractions(
    splits: Collection[str], validation: float | None, test: float | None
) -> dict[str, float]:
    """The fractions of the test and the validation split: those that are given, and `DEFAULT_FRACTION` for
    those that are None.

    No test split is made by default where `validation` alone is given, or the source's own `splits` have
    images for validation or test. A default leaves at least half of what the other fraction leaves.
    """
    both = validation is None and test is None and not {"validation", "test"} & set(splits)
    if validation is None:
        validation = _beside(test)
    return {"test": DEFAULT_FRACTION if both else test or 0.0, "validation": validation}


def _beside(other: float | None) -> float:
    return min(DEFAULT_FRACTION, (1 - other) / 2) if other and 0 < other < 1 else DEFAULT_FRACTION


def _spare(labels: NDArray[np.integer]) -> int:
    """The images that are left where each class keeps one."""
    return int(np.maximum(np.bincount(labels) - 1, 0).sum())


def divide(
    source: LabelledImages,
    validation: float | None,
    test: float | None,
    seed: int,
    max_per_class: int | None = None,
    first: int | None = None,
) -> dict[str, list[LabelledImage]]:
    """The images of each split: train in random order, the others by class and name.

    Fractions are of the images that are not in folders for validation or test, stratified by class; those
    that are None are `default_fractions`. `max_per_class` of each class are taken before, by the seed. Of
    each split `first` images are taken after it, of all classes as far as they go.
    Raises ConfigError for a share that is none, or that is given beside a folder, and for fewer images than
    classes; DataError where the images are too few for a share.
    """
    if first is not None and first < len(source.classes):
        raise ConfigError(
            f"--first: expected {len(source.classes)} images or more, one of each class, received {first}",
            "Take more, or fewer classes with --classes",
        )
    items = list(source.splits["train"])
    if max_per_class:
        items = limited(items, max_per_class, seed)
    everything = len(items)
    given = default_fractions(source.splits, validation, test)
    for name, share in (("validation", validation), ("test", test)):
        if share is not None and name in source.splits:
            raise ConfigError(
                f"--{name}: the source has images for {name} in a folder of their own, received {share} too",
                f"Leave out --{name}, or remove the folder",
            )
    if not (min(given.values()) >= 0 and sum(given.values()) < 1):  # so that NaN is none either
        raise ConfigError(
            f"--validation, --test: expected fractions >= 0 with a sum below 1, received "
            f"{given['validation']} and {given['test']}"
        )
    splits: dict[str, list[LabelledImage]] = {}
    for name, share in given.items():
        if name in source.splits:
            splits[name] = list(source.splits[name])
        elif share:
            labels = np.array([item.label for item in items])
            by_default = {"validation": validation, "test": test}[name] is None
            least = 1 / len(items) if by_default else 0.0
            chosen = stratified(labels, max(share * everything / len(items), least), seed)
            if by_default and name == "test" and _spare(labels) < 2:
                continue  # the image that a class can spare is for validation
            if not chosen.any():
                raise DataError(
                    f"--{name}: {share} of {everything} images leaves none (each class keeps one)",
                    f"Add images, or set --{name} 0",
                )
            splits[name] = [item for item, taken in zip(items, chosen, strict=True) if taken]
            items = [item for item, taken in zip(items, chosen, strict=True) if not taken]
    order = ("validation", "test")
    splits = {"train": items} | {name: splits[name] for name in order if name in splits}
    if first is not None:
        splits = {name: spread(items, first, seed) for name, items in splits.items()}
    return splits | {"train": shuffled(splits["train"], seed)}
