"""A confusion matrix as values that a page's script draws, and as a table where it is small."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_CLASSES_IN_TABLE = 20


@dataclass(frozen=True)
class ConfusionMatrix:
    """A confusion matrix; rows are classes, columns predictions.

    Attributes:
        names: of the classes.
        description: what it shows, in words.
        values: what the script draws, as JSON: `names`, `cells` as [row, column, images], `orders` by name.
        table: the counts, where they fit on a page as a table.
    """

    names: Sequence[str]
    description: str
    values: dict[str, Any]
    table: Sequence[tuple[str, Sequence["CountCell"]]]


@dataclass(frozen=True)
class CountCell:
    """A number of the table; `strength` is its fraction of the class, in percent."""

    count: int
    strength: int
    right: bool


def confusion_matrix(counts: NDArray[np.int64], names: Sequence[str]) -> ConfusionMatrix:
    """int64 (classes, classes) and the names of the classes -> what a page shows."""
    size, total, right = len(names), int(counts.sum()), int(np.trace(counts))
    rows = counts.sum(1)
    recall = np.where(rows, counts.diagonal() / np.maximum(1, rows), np.inf)
    fractions = np.rint(100 * counts / np.maximum(1, rows)[:, None]).astype(int)
    orders = [
        ("confused classes side by side", confused_together(counts)),
        ("lowest recall first", np.argsort(recall, kind="stable").tolist()),
        ("order of the dataset", list(range(size))),
    ]
    return ConfusionMatrix(
        names,
        f"Confusion matrix of {size:,} classes: {right:,} of {total:,} images are right, on its diagonal",
        {
            "names": list(names),
            "cells": [[i, j, int(counts[i, j])] for i, j in np.argwhere(counts).tolist()],
            "orders": orders,
        },
        [
            (name, [CountCell(int(n), int(fractions[i, j]), i == j) for j, n in enumerate(counts[i])])
            for i, name in enumerate(names)
        ]
        if size <= MAX_CLASSES_IN_TABLE
        else (),
    )


def confused_together(counts: NDArray[np.int64]) -> list[int]:
    """An order of the classes in which those that are confused most are neighbours.

    Each class begins as a list of itself. From the most confused pair down, the lists of the two are joined:
    single-linkage clustering, whose lists are the order.

    >>> confused_together(np.array([[9, 0, 4], [0, 9, 0], [2, 0, 9]]))
    [0, 2, 1]
    """
    mutual = np.triu(counts + counts.T, k=1)
    pairs = np.argwhere(mutual)
    strongest = pairs[np.argsort(-mutual[pairs[:, 0], pairs[:, 1]], kind="stable")]
    lists = {number: [number] for number in range(len(counts))}
    owner = list(range(len(counts)))
    for first, second in strongest.tolist():
        kept, gone = sorted((owner[first], owner[second]))
        if kept == gone:
            continue
        for number in lists[gone]:
            owner[number] = kept
        lists[kept] += lists.pop(gone)
    return [number for one in lists.values() for number in one]
