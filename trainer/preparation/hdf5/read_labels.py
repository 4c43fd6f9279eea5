"""Labels and class names in the forms in which people store them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DataError
from trainer.preparation.hdf5.file_datasets import MATLAB_NUMBERS, Refused, matlab_class
from trainer.preparation.labels.file_listing import in_order

_MOST = 100_000_000
_MOST_CLASSES = 1_000_000
_FORMS = "expected labels (n,), (n, 1), (1, n) or one-hot (n, classes)"


@dataclass(frozen=True)
class Labels:
    """A whole number for each row, int64 (n,); with `names` it is a place in them, and `ordered` says that
    they are those of all classes in their order. `matlab`: they may count from 1."""

    values: NDArray[np.int64]
    names: tuple[str, ...] | None = None
    ordered: bool = False
    matlab: bool = False


def read_labels(dataset: Any, name: str, file: Any) -> Labels:
    """Whole numbers (n,), (n, 1), (1, n), one-hot (n, k), texts or an enum (n,). Raises Refused."""
    import h5py

    matlab = matlab_class(dataset)
    if dataset.size > _MOST:
        raise Refused(f"{name}: expected at most {_MOST:,} labels, received {dataset.size:,}", "Name others")
    if _is_text(dataset):
        return _of_texts(_texts(dataset, name, file), name)
    if matlab and matlab not in MATLAB_NUMBERS:
        raise Refused(
            f"{name}: expected numbers or texts, received MATLAB's class {matlab}, which MATLAB alone reads",
            "Save double(labels), or cellstr(labels)",
        )
    if dataset.dtype.kind not in "iufb":
        raise Refused(
            f"{name}: expected numbers or texts, received {dataset.shape} of {dataset.dtype}",
            "Name other labels",
        )
    values = np.asarray(dataset[()])
    if matlab:
        values = values.T
    if values.ndim and values.size == max(values.shape):
        values = values.ravel()
    elif values.ndim == 2:
        values = _from_one_hot(values, name)
    if values.ndim != 1 or not len(values):
        raise Refused(f"{name}: {_FORMS}, received {values.shape}", "Name other labels")
    if members := h5py.check_enum_dtype(dataset.dtype):
        return _of_enum(values, members, name)
    wrong = ~((values >= 0) & (values < _MOST_CLASSES) & (values == np.rint(values)))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise Refused(
            f"{name}: expected whole numbers from 0 to {_MOST_CLASSES - 1:,}, row {row} is {values[row]:g}",
            "Correct the labels",
        )
    return Labels(values.astype(np.int64), matlab=bool(matlab))


def read_classes(dataset: Any, name: str, file: Any) -> list[str]:
    """Texts, or bytes in UTF-8, or whole numbers -> names of the classes. Raises Refused."""
    if dataset.size > _MOST_CLASSES:
        raise Refused(f"{name}: expected names, received {dataset.shape} of {dataset.dtype}", _OTHERS)
    if _is_text(dataset):
        return _distinct(_texts(dataset, name, file), name)
    return classes_in(dataset[()], name)


_OTHERS = "Name others, or none: --classes none (prepare: --class-names none)"


def classes_in(values: Any, name: str) -> list[str]:
    """The names of the classes in an array, or in an attribute. Raises Refused."""
    flat = np.asarray(values).ravel()
    numeric = flat.dtype.kind in "iufb" and bool((flat == np.rint(flat)).all())
    if not numeric and flat.dtype.kind not in "SOU":
        raise Refused(f"{name}: expected names, received {flat.shape} of {flat.dtype}", _OTHERS)
    return _distinct([str(int(value)) if numeric else _text(value) for value in flat.tolist()], name)


def _distinct(names: list[str], name: str) -> list[str]:
    (most, count), *_ = Counter(names).most_common(1) or [("", 1)]
    if count > 1:
        raise Refused(f"{name}: expected names of classes, {most!r} is there {count} times", _OTHERS)
    return names


def _is_text(dataset: Any) -> bool:
    return dataset.dtype.kind in "SUO" or matlab_class(dataset) in ("char", "cell")


def _texts(dataset: Any, name: str, file: Any) -> list[str]:
    """Each text of a dataset of them, or of MATLAB's characters or cells of these."""
    import h5py

    if matlab_class(dataset) == "char":
        return [_characters(row) for row in np.atleast_2d(dataset[()].T)]
    values = np.asarray(dataset[()]).ravel()
    if h5py.check_ref_dtype(dataset.dtype) is not None:
        return [_characters(np.asarray(file[reference][()]).T.ravel()) for reference in values]
    if h5py.check_string_dtype(dataset.dtype) is None and dataset.dtype.kind not in "SU":
        raise Refused(
            f"{name}: expected numbers or texts, received {dataset.shape} of {dataset.dtype}", "Name others"
        )
    return [_text(value) for value in values.tolist()]


def _characters(codes: NDArray[Any]) -> str:
    return "".join(chr(int(code)) for code in codes.ravel()).rstrip(" \0")


def _text(value: Any) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text.rstrip("\0")


def _of_texts(texts: Sequence[str], name: str) -> Labels:
    if not texts:
        raise Refused(f"{name}: {_FORMS}, received none", "Name other labels")
    names, values = np.unique(np.array(texts, dtype=object), return_inverse=True)
    if "" in names:
        raise Refused(f"{name}: expected a label for each row, row {texts.index('')} has none", "Add it")
    return Labels(values.astype(np.int64).ravel(), tuple(map(str, names)))


def _of_enum(values: NDArray[Any], members: dict[str, int], name: str) -> Labels:
    ordered = sorted(members, key=lambda member: members[member])
    numbers = np.array([members[member] for member in ordered])
    places = np.minimum(np.searchsorted(numbers, values), len(numbers) - 1)
    if (wrong := numbers[places] != values).any():
        row = int(np.argmax(wrong))
        raise Refused(f"{name}: row {row} is {values[row]}, which its enum does not name", "Correct it")
    return Labels(places.astype(np.int64), tuple(ordered), ordered=True)


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


class Numbered(Protocol):
    """Labels of some rows; see `Labels`. `where` they are, and the class names that their file has."""

    @property
    def labels(self) -> NDArray[np.int64]: ...

    @property
    def names(self) -> tuple[str, ...] | None: ...

    @property
    def ordered(self) -> bool: ...

    @property
    def matlab(self) -> bool: ...

    @property
    def classes(self) -> tuple[str, ...] | None: ...

    @property
    def where(self) -> str: ...


class Classes(NamedTuple):
    """The classes of all rows, of each part the numbers of its rows' classes, and what was assumed."""

    names: tuple[str, ...]
    labels: list[NDArray[np.int64]]
    assumed: tuple[str, ...] = ()


def number_classes(parts: Sequence[Numbered]) -> Classes:
    """The classes by the names that the files give, else by the texts of the labels, or their numbers.

    Raises DataError for labels that do not fit the classes, or each other.
    """
    given = [part.classes for part in parts if part.classes]
    if any(classes != given[0] for classes in given):
        raise DataError("the files name different classes", f"Index them apart. {_OTHERS}")
    named = [part for part in parts if part.names is not None]
    if not named:
        return _by_number(parts, given[0] if given else None)
    if len(named) < len(parts):
        other = next(part for part in parts if part.names is None)
        raise DataError(f"{named[0].where}: its labels are texts, and numbers in {other.where}", _APART)
    classes = given[0] if given else _names_of(named)
    place = {name: number for number, name in enumerate(classes)}
    for part in named:
        for number in np.unique(part.labels).tolist():
            if (name := (part.names or ())[number]) not in place:
                row = int(np.argmax(part.labels == number))
                raise DataError(
                    f"{part.where}: row {row} is {name!r}, which is not among the {len(classes)} class names",
                    f"Correct it. {_OTHERS}",
                )
    tables = [np.array([place.get(name, 0) for name in part.names or ()], np.int64) for part in named]
    return Classes(classes, [table[part.labels] for table, part in zip(tables, named, strict=True)])


_APART = "Index them apart"


def _names_of(parts: Sequence[Numbered]) -> tuple[str, ...]:
    """The names of an enum in its order, which all must have; else the texts in order."""
    if any(part.ordered for part in parts):
        if any(part.names != parts[0].names for part in parts):
            raise DataError(f"{parts[0].where}: the files' enums differ", _APART)
        return parts[0].names or ()
    return tuple(in_order({name for part in parts for name in part.names or ()}))


def _by_number(parts: Sequence[Numbered], names: tuple[str, ...] | None) -> Classes:
    labels = [part.labels for part in parts]
    low = min(int(values.min()) for values in labels)
    highest = max(parts, key=lambda part: int(part.labels.max()))
    high = int(highest.labels.max())
    from_one = [values - 1 for values in labels]
    matlab = any(part.matlab for part in parts) and low >= 1
    if names is None and matlab:
        return Classes(tuple(str(number) for number in range(1, high + 1)), from_one)
    if names is None:
        return Classes(tuple(str(number) for number in range(high + 1)), labels)
    count, counted = len(names), "the labels count from 1, as those of MATLAB do"
    by_value = _by_value(labels, names)
    if by_value and high >= count:
        return Classes(names, by_value)
    if matlab and high <= count:
        return Classes(names, from_one, () if high == count else (counted,))
    if low >= 1 and high == count:
        return Classes(names, from_one, (f"the labels count from 1: {low} to {high}, for {count} classes",))
    if high >= count:
        raise DataError(
            f"{highest.where}: row {int(highest.labels.argmax())} has label {high}; with "
            f"{count} classes the highest is {count - 1}",
            f"Correct the labels. {_OTHERS}",
        )
    if by_value and any((a != b).any() for a, b in zip(by_value, labels, strict=True)):
        raise DataError(
            f"{highest.where}: the labels may be the classes {', '.join(names[:3])} … themselves, or places "
            "among them",
            f"Say which they are. {_OTHERS}",
        )
    return Classes(names, labels)


def _by_value(labels: Sequence[NDArray[np.int64]], names: tuple[str, ...]) -> list[NDArray[np.int64]] | None:
    """The labels as places, where the names are numbers and these are all among them."""
    if not all(name.isdecimal() and len(name) < 10 for name in names):
        return None
    place = {int(name): number for number, name in enumerate(names)}
    if not all(value in place for values in labels for value in np.unique(values).tolist()):
        return None
    return [np.vectorize(place.__getitem__, otypes=[np.int64])(values) for values in labels]
