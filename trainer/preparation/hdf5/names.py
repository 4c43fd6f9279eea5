"""Which datasets of a file are images, labels and class names: pure, by the names in use."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from trainer.preparation.split_words import SPLIT_OF_WORD, words_in

_IMAGES = ("images", "image", "x", "data", "features", "imgs", "img", "pictures", "pixels", "inputs")
_LABELS = ("labels", "label", "y", "targets", "target", "lbls", "category", "class")
_FILLERS = {"set", "split", "dataset", "datasets"}
_OTHER = {"names", "name", "list", "shapes"}
_CLASSES = (
    *("list_classes", "classes", "class_names", "label_names", "target_names", "classnames"),
    *("labels_names", "categories"),
)
Key = tuple[str, tuple[str, ...]]
"""A split, empty where the name does not say, and the other words of the name."""


@dataclass(frozen=True)
class Found:
    """The names of one split's images and labels; `split` is empty where they do not say."""

    split: str
    images: str
    labels: str


@dataclass(frozen=True)
class Roles:
    """The splits in a file; without any, its datasets that may be images, and those that may be labels."""

    splits: list[Found]
    images: dict[Key, str]
    labels: dict[Key, str]


class Ambiguous(Exception):
    """Several pairs of images and labels, of which one alone can be meant."""


def find_splits(names: Collection[str], flat: Collection[str] = ()) -> Roles:
    """The splits in a file of datasets with these names, or all of it as one.

    `flat` have too few axes to be images. Pairs whose names differ in numbers alone are one split.
    Raises Ambiguous.
    """
    images = _candidates((name for name in names if name not in flat), _IMAGES)
    labels = _candidates(names, _LABELS)
    pairs: dict[str, list[tuple[tuple[str, ...], Found]]] = defaultdict(list)
    for key in sorted(images.keys() & labels.keys()):
        split, rest = key
        pairs[split].append((rest, Found(split, images[key], labels[key])))
    if "train" in pairs:
        pairs.pop("", None)
    splits = [found for split in sorted(pairs) for found in _of_split(pairs[split])]
    return Roles(splits, images, labels)


def find_classes(names: Collection[str]) -> str | None:
    """The dataset of the class names, the one least deep in the file."""
    fitting = [name for name in names if name.rpartition("/")[2].lower() in _CLASSES]
    return min(fitting, key=lambda name: (name.count("/"), _place(name, _CLASSES)), default=None)


def class_attribute(attributes: Mapping[str, object]) -> str | None:
    """The attribute that holds the class names."""
    return next((name for name in _CLASSES if name in attributes), None)


def split_of_path(path: str) -> str:
    """The last word for a split in a path, as in `test/a.h5` or `x_test.h5`; "train" without any."""
    return next((SPLIT_OF_WORD[word] for word in reversed(words_in(path)) if word in SPLIT_OF_WORD), "train")


def file_key(path: str) -> tuple[str, ...]:
    """What the names of a file of images and of that of their labels have in common."""
    return tuple(word for word in _words(path) if word not in {*_IMAGES, *_LABELS, *_FILLERS})


def _candidates(names: Iterable[str], words: tuple[str, ...]) -> dict[Key, str]:
    found: dict[Key, list[str]] = defaultdict(list)
    for name in names:
        if key := _key(name, words):
            found[key].append(name)
    return {key: min(own, key=lambda name: (_role(name, words), len(name))) for key, own in found.items()}


def _key(name: str, role: tuple[str, ...]) -> Key | None:
    words = _words(name)
    roles = [word for word in words if word in _IMAGES or word in _LABELS]
    splits = {SPLIT_OF_WORD[word] for word in words if word in SPLIT_OF_WORD}
    if not roles or roles[-1] not in role or len(splits) > 1 or _OTHER & set(words):
        return None
    known = {*_IMAGES, *_LABELS, *_FILLERS, *SPLIT_OF_WORD}
    return next(iter(splits), ""), tuple(word for word in words if word not in known)


def _role(name: str, words: tuple[str, ...]) -> int:
    return min(words.index(word) for word in _words(name) if word in words)


def _place(name: str, words: tuple[str, ...]) -> int:
    return words.index(name.rpartition("/")[2].lower())


def _words(name: str) -> list[str]:
    """The words of `words_in`, with the x and y of xtrain and testy as words of their own."""
    words: list[str] = []
    for word in words_in(name):
        if word[:1] in "xy" and word[1:] in SPLIT_OF_WORD:
            words += [word[:1], word[1:]]
        elif word[-1:] in "xy" and word[:-1] in SPLIT_OF_WORD:
            words += [word[:-1], word[-1:]]
        else:
            words.append(word)
    return words


def _of_split(pairs: list[tuple[tuple[str, ...], Found]]) -> list[Found]:
    """The pair without other words, or all where these are numbers."""
    plain = [found for rest, found in pairs if not rest]
    if plain or len(pairs) == 1:
        return plain or [found for _, found in pairs]
    stems = {tuple(word for word in rest if not word.isdecimal()) for rest, _ in pairs}
    if len(stems) == 1:
        ordered = sorted(pairs, key=lambda pair: [int(word) for word in pair[0] if word.isdecimal()])
        return [found for _, found in ordered]
    raise Ambiguous(" or ".join(f"{found.images} with {found.labels}" for _, found in pairs[:3]))
