"""Which folders are splits, by the names that people give them: Training, seg_train, test_set."""

from collections.abc import Collection, Iterable, Mapping

from trainer.dataset.manifest import SPLITS
from trainer.errors import ConfigError, DataError
from trainer.output.units import abbreviate
from trainer.preparation.labels.file_listing import Listing
from trainer.preparation.labels.split_names import split_meaning, split_of, words_of

CONTAINERS = {
    *("images", "image", "imgs", "img", "jpg", "jpeg", "png", "pictures", "photos", "meta", "labels"),
    *("101_objectcategories", "256_objectcategories"),
}
"""Names of folders that hold all images, or something else, but no class."""


def are_splits(folders: Collection[str]) -> bool:
    """Whether the names say different splits, and the same beside them: cars_train and cars_test."""
    meanings = [split_meaning(folder) for folder in folders]
    known = [meaning for meaning in meanings if meaning]
    return len(known) == len(meanings) == len(dict(known)) > 1 and len({rest for _, rest in known}) == 1


def split_prefixes(listing: Listing, named: Mapping[str, str] | None = None) -> dict[str, str]:
    """Split -> the prefix below which its class folders lie; without folders of splits all are for training.

    A folder that holds nothing but one of the same name is that one. `named`: folder -> split, which then
    are the splits; the others are left out.

    Raises DataError where folders look like splits and do not fit each other, ConfigError for `named`
    folders that are not there.
    """
    root = _inside(listing, "")
    top = listing.below(root)
    holders = [name for name in top if _holds_folders(listing, f"{root}{name}/")]
    if len(holders) == 1 and _is_container(listing, root, holders[0]):
        root = f"{root}{holders[0]}/"
        top = listing.below(root)
    inner = {name: _inside(listing, f"{root}{name}/") for name in top}
    if named:
        return _as_named(listing, named, inner)
    holding = [name for name in top if _holds_folders(listing, inner[name])]
    meanings = {name: meaning for name in holding if (meaning := split_meaning(name))}
    if not meanings:
        return {"train": root}
    found = {split: name for name, (split, _) in meanings.items()}
    others = [name for name in holding if name not in meanings]
    rests = {rest for _, rest in meanings.values()}
    # rps beside rps-test-set
    if "train" not in found and len(others) == 1 and rests == {words_of(others[0])}:
        found["train"] = others.pop()
        meanings[found["train"]] = ("train", next(iter(rests)))
    if "train" in found and not others and len(rests) == 1 and len(found) == len(meanings):
        return {split: inner[found[split]] for split in SPLITS if split in found}
    if any(not rest for _, rest in meanings.values()) or len(found) > 1:
        example = ",".join(f"{name}={split}" for split, name in found.items())
        raise DataError(
            f"{listing.store.url}: expected train, validation (or valid, or val) and test, found "
            f"{abbreviate(top, 5)}",
            f"Say which folders are the splits, as in --splits {example}, or rename the others",
        )
    return {"train": root}


def by_split(listing: Listing, keys: Iterable[str]) -> dict[str, list[str]]:
    """Split -> its images, by the folder that they lie in; without such folders all are training images.

    Raises DataError where some images lie in a split's folder and others do not.
    """
    found: dict[str, list[str]] = {}
    tops = set()
    for key in keys:
        tops.add(key.partition("/")[0] if "/" in key else "")
        found.setdefault(split_of(key) or "", []).append(key)
    if set(found) <= {""}:
        return {"train": found.get("", [])}
    if "" in found or "train" not in found:
        raise DataError(
            f"{listing.store.url}: expected images in train, validation (or valid, or val) and test, found "
            f"them in {', '.join(sorted(top or '.' for top in tops))}",
            "Rename or remove the others",
        )
    return found


def _as_named(listing: Listing, named: Mapping[str, str], inner: Mapping[str, str]) -> dict[str, str]:
    missing = [name for name in named if name not in inner]
    if missing:
        raise ConfigError(
            f"--splits: {listing.store.url} has no folder {missing[0]}; its folders: "
            f"{abbreviate(list(inner), 5) or 'none'}",
            "Name folders that lie directly in it",
        )
    return {split: inner[name] for split in SPLITS for name, of in named.items() if of == split}


def _inside(listing: Listing, prefix: str) -> str:
    """Behind folders that hold nothing but one of their own name; at the top, of any name at first."""
    while True:
        below = listing.below(prefix)
        if len(below) != 1 or prefix[:-1] in listing.folders_of_images:
            return prefix
        outer = prefix[:-1].rpartition("/")[2]
        inner = f"{prefix}{below[0]}/"
        if not prefix and listing.below(inner) != below:
            return prefix
        if prefix and below[0].lower() != outer.lower():
            return prefix
        prefix = inner


def _is_container(listing: Listing, prefix: str, name: str) -> bool:
    """Whether a folder holds the folders of all images, and is not a class."""
    place = f"{prefix}{name}"
    alone = listing.folders_of_images.isdisjoint((prefix.rstrip("/"), place))
    return alone and name.lower() in CONTAINERS and bool(listing.below(f"{place}/"))


def _holds_folders(listing: Listing, prefix: str) -> bool:
    """Whether images lie in folders below."""
    return any(folder.startswith(prefix) for folder in listing.folders_of_images)
