"""Random splits of the images by a seed: pure."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.counter_rng import permutation

T = TypeVar("T")

_STRATIFIED, _SHUFFLED = 11, 12


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
