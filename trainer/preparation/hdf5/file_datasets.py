"""The datasets of an HDF5 file, also behind soft links, and what MATLAB and Fuel write about them."""

from typing import Any, NamedTuple

import numpy as np

from trainer.preparation.split_words import SPLIT_OF_WORD

_MAX_OBJECTS = 100_000
_OF_MATLAB = ("#refs#", "#subsystem#")
MATLAB_NUMBERS = {
    *("double", "single", "logical"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}


class Refused(Exception):
    """What is wrong with the file, and the remedy; `convertible` where `trainer prepare` can read it."""

    def __init__(self, problem: str, remedy: str = "", *, convertible: bool = False) -> None:
        super().__init__(problem)
        self.remedy, self.convertible = remedy, convertible


class Datasets(NamedTuple):
    """Name -> HDF5 dataset, and the names of links that lead nowhere, or into other files."""

    found: dict[str, Any]
    broken: list[str]


def list_datasets(file: Any) -> Datasets:
    """Every dataset of a file by each of its names; other files are not opened. Raises Refused."""
    import h5py

    datasets = Datasets({}, [])
    groups = [(file, "", frozenset[int]())]
    count = 0
    while groups:
        group, prefix, above = groups.pop()
        for key in group:
            count += 1
            if count > _MAX_OBJECTS:
                raise Refused(f"it has more than {_MAX_OBJECTS:,} datasets", "Name a file of fewer")
            name = f"{prefix}{key}"
            try:
                if isinstance(group.get(key, getlink=True), h5py.ExternalLink):
                    raise KeyError
                item = group[key]
            except KeyError:
                datasets.broken.append(name)
                continue
            if isinstance(item, h5py.Dataset):
                datasets.found[name] = item
            elif isinstance(item, h5py.Group) and name not in _OF_MATLAB:
                address = h5py.h5o.get_info(item.id).addr
                if address not in above:
                    groups.append((item, f"{name}/", above | {address}))
    return datasets


def matlab_class(dataset: Any) -> str:
    """The class that MATLAB's v7.3 files give a variable; empty in other files."""
    value = dataset.attrs.get("MATLAB_class", b"")
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


class FuelSplit(NamedTuple):
    """Rows of a split in Fuel's format: of each source the rows [start, stop), or those of `rows`."""

    split: str
    sources: dict[str, tuple[int, int]]
    rows: dict[str, Any]


def fuel_splits(file: Any) -> list[FuelSplit]:
    """What the attribute `split` of Fuel's files says; nothing in other files. Splits that are neither for
    training nor to validate or test are left out."""
    table = file.attrs.get("split")
    fields = {"split", "source", "start", "stop"}
    if not isinstance(table, np.ndarray) or not fields <= set(table.dtype.names or ()):
        return []
    splits: dict[str, FuelSplit] = {}
    for entry in table.ravel():
        word, source = (_text(entry[field]) for field in ("split", "source"))
        split = SPLIT_OF_WORD.get(word.lower())
        if split is None or ("available" in table.dtype.names and not entry["available"]):
            continue
        own = splits.setdefault(split, FuelSplit(split, {}, {}))
        own.sources[source] = (int(entry["start"]), int(entry["stop"]))
        if "indices" in table.dtype.names and entry["indices"]:
            own.rows[source] = np.asarray(file[entry["indices"]][()], np.int64)
    return list(splits.values())


def _text(value: Any) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text.rstrip("\0")
