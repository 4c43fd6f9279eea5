"""Labels and class names in the forms in which people store them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.preparation.hdf5.refused import Refused

_MOST = 100_000_000
_MOST_CLASSES = 1_000_000


def read_labels(dataset: Any, name: str) -> NDArray[np.int64]:
    """Whole numbers (n,), (n, 1), (1, n), or one-hot (n, k) -> int64 (n,). Raises Refused."""
    if dataset.dtype.kind not in "iufb" or dataset.size > _MOST:
        raise Refused(
            f"{name}: expected numbers, at most {_MOST:,}, received {dataset.shape} of {dataset.dtype}",
            "Name other labels",
        )
    values = np.asarray(dataset[()])
    if values.ndim == 2 and 1 in values.shape:
        values = values.ravel()
    elif values.ndim == 2:
        values = _from_one_hot(values, name)
    if values.ndim != 1 or not len(values):
        raise Refused(
            f"{name}: expected labels (n,), (n, 1), (1, n) or one-hot (n, classes), received {values.shape}",
            "Name other labels",
        )
    wrong = ~((values >= 0) & (values < _MOST_CLASSES) & (values == np.rint(values)))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise Refused(
            f"{name}: expected whole numbers from 0 to {_MOST_CLASSES - 1:,}, row {row} is {values[row]:g}",
            "Correct the labels",
        )
    return values.astype(np.int64)


def _from_one_hot(values: NDArray[Any], name: str) -> NDArray[Any]:
    wrong = ~(((values == 0) | (values == 1)).all(axis=1) & (values.sum(axis=1) == 1))
    if wrong.any():
        raise Refused(
            f"{name}: expected one-hot labels, as {values.shape} says; row {int(np.argmax(wrong))} is not a "
            "single 1 among zeros",
            "Name labels of one class an image",
        )
    labels: NDArray[np.int64] = values.argmax(axis=1)
    return labels


def read_classes(dataset: Any, name: str) -> list[str]:
    """Texts, or bytes in UTF-8 -> names of the classes. Raises Refused."""
    if dataset.size > _MOST_CLASSES or dataset.dtype.kind not in "SOU":
        raise Refused(
            f"{name}: expected names, received {dataset.shape} of {dataset.dtype}", "Name others: --classes"
        )
    values = np.asarray(dataset[()]).ravel().tolist()
    names = [value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in values]
    return [name.rstrip("\0") for name in names]
