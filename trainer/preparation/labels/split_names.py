"""The splits, by the names that people give them: Training, val, test_set."""

import re

_WORDS = {
    **dict.fromkeys(("train", "training", "trainset"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "validate", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "testset"), "test"),
}
_FILLERS = {"set", "data", "dataset", "split", "images"}


def split_named(name: str) -> str | None:
    """The split that a name says, and nothing else: `Training`, `val`, `test_set`."""
    meaning = split_meaning(name)
    return meaning[0] if meaning and not meaning[1] else None


def split_of(key: str) -> str | None:
    """The split of the first folder in a key that says one: `images/train/1.png`."""
    return next(filter(None, map(split_named, key.split("/")[:-1])), None)


def split_meaning(name: str) -> tuple[str, tuple[str, ...]] | None:
    """(split, the words beside it); None where the name says no split, or several."""
    words = words_of(name)
    splits = [word for word in words if word in _WORDS]
    if len(splits) != 1:
        return None
    return _WORDS[splits[0]], tuple(word for word in words if word not in _WORDS)


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name, without those that say nothing, as in train_data_set."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return tuple(word for word in re.findall(r"[a-z]+|[0-9]+", spaced) if word not in _FILLERS)
