"""The splits, by the names that people give them: Training, val, test_set."""

from trainer.preparation.split_words import SPLIT_OF_WORD, words_in

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
    splits = [word for word in words if word in SPLIT_OF_WORD]
    if len(splits) != 1:
        return None
    return SPLIT_OF_WORD[splits[0]], tuple(word for word in words if word not in SPLIT_OF_WORD)


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name, without those that say nothing, as in train_data_set."""
    return tuple(word for word in words_in(name) if word not in _FILLERS)
