"""Checks of the labels: pure, from the number of images of each class in each split."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.output.units import abbreviate

IMBALANCE_RATIO = 10
"""Ratio between the largest and the smallest class above which a dataset is reported as imbalanced."""
FEW_IMAGES = 5


def check_labels(classes: Sequence[str], counts: Mapping[str, NDArray[np.int64]]) -> list[str]:
    """Returns a sentence for each suspicious finding.

    Args:
        classes: their names, by label.
        counts: split -> its images of each class, int64 (classes,).
    """
    train = counts.get("train", np.zeros(len(classes), np.int64))
    findings = [
        f"{count} classes are called {name!r}" for name, count in Counter(classes).items() if count > 1
    ]
    findings += _unused(classes, train)
    for split, rows in counts.items():
        unknown = np.flatnonzero((rows > 0) & (train == 0))
        if len(unknown):
            findings.append(
                f"{split} has images of classes that train has none of: {named(classes, unknown)}"
            )
    used = train[train > 0]
    if len(used) == 1:
        findings.append("all training images are of one class")
    elif len(used) and used.max() >= IMBALANCE_RATIO * used.min():
        largest, smallest = (
            classes[int(train.argmax())],
            classes[int(np.where(train, train, used.max()).argmin())],
        )
        findings.append(
            f"imbalanced: {used.max():,} training images of {largest!r}, {used.min():,} of {smallest!r}; "
            "train.class_weight: balanced weights them"
        )
    return findings


def _unused(classes: Sequence[str], train: NDArray[np.int64]) -> list[str]:
    empty = np.flatnonzero(train == 0)
    if not len(empty) or not train.any():
        return []
    highest = int(np.flatnonzero(train)[-1])
    if empty.tolist() == [0]:
        return [
            f"no training image has label 0 ({classes[0]!r}), and some have {highest}: the labels may be "
            "counted from 1 instead of 0, so that each image has the next class's name"
        ]
    if empty[0] == highest + 1 and len(empty) == len(classes) - highest - 1:
        return [
            f"{len(classes):,} classes have names, but no training image a label above {highest}: the list "
            "of classes may be another dataset's"
        ]
    return [f"no training images: {named(classes, empty)}"]


def named(classes: Sequence[str], labels: NDArray[np.integer]) -> str:
    """The first few of these classes, and how many more there are."""
    return abbreviate([repr(classes[label]) for label in labels.tolist()], FEW_IMAGES)
