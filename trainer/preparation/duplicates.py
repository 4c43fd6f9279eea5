"""Images of the same content, by the SHA-256 of their files: pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.preparation.labels import LabelledImage

Digests = NDArray[np.uint8]


class Seen:
    """The contents of the splits so far."""

    def __init__(self) -> None:
        self._digests = np.zeros((0, 32), np.uint8)
        self._starts = np.zeros(0, np.uint64)

    def add(self, digests: Digests) -> None:
        """Contents, uint8 (n, 32); zero means none."""
        digests = np.concatenate([self._digests, digests[digests.any(axis=1)]])
        starts = _starts(digests)
        order = np.argsort(starts, kind="stable")
        self._digests, self._starts = digests[order], starts[order]

    def __contains__(self, digest: bytes) -> bool:
        start = np.frombuffer(digest, np.uint64, 1)[0]
        place = int(np.searchsorted(self._starts, start))
        while place < len(self._starts) and self._starts[place] == start:
            if self._digests[place].tobytes() == digest:
                return True
            place += 1
        return False


@dataclass(frozen=True)
class Duplicates:
    """Copies of images. A line names both.

    Attributes:
        within_classes: how many more images of a class there are in a split than different ones.
        over_classes: copies of images of another class.
        left_out: copies of images in an earlier split, which were left out.
    """

    within_classes: int
    over_classes: tuple[str, ...]
    left_out: tuple[str, ...]

    def summary(self, most: int) -> dict[str, Any]:
        """The counts, and up to `most` lines of each kind."""
        return {
            "within_classes": self.within_classes,
            "over_classes": list(self.over_classes[:most]),
            "over_classes_images": len(self.over_classes),
            "left_out": list(self.left_out[:most]),
            "left_out_images": len(self.left_out),
        }


def find_duplicates(splits: Mapping[str, tuple[Sequence[LabelledImage], Digests]]) -> Duplicates:
    """Finds images of equal content. `splits`: the items of each split and their SHA-256, uint8 (items, 32),
    zero for none; in the order in which images were kept."""
    all_items = [(split, item) for split, (items, _) in splits.items() for item in items]
    digests = np.concatenate([found for _, found in splits.values()])
    places = np.flatnonzero(digests.any(axis=1))
    starts = _starts(digests[places])
    order = np.argsort(starts, kind="stable")
    same = starts[order][1:] == starts[order][:-1]
    twins = places[np.union1d(order[1:][same], order[:-1][same])]
    groups: dict[bytes, list[int]] = defaultdict(list)
    for place in twins.tolist():
        groups[digests[place].tobytes()].append(place)
    within, over, left = 0, [], []
    for group in groups.values():
        first_split, first = all_items[group[0]]
        classes = {first.label}
        for place in group[1:]:
            split, item = all_items[place]
            if split != first_split:
                left.append(f"{item.key} in {split} is {first.key} in {first_split}")
            elif item.label in classes:
                within += 1
            if item.label not in classes:
                over.append(f"{item.key} is {first.key}")
                classes.add(item.label)
    return Duplicates(within, tuple(over), tuple(left))


def _starts(digests: Digests) -> NDArray[np.uint64]:
    return np.ascontiguousarray(digests[:, :8]).view(np.uint64).ravel()
