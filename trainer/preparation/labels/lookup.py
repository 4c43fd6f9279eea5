"""Finds images by what lists call them."""

import re
from collections.abc import Iterable, Sequence

from trainer.images.files import has_image_suffix
from trainer.preparation.labels.formats.text import composed


class Lookup:
    """Finds images by a key, the end of one, a name without its suffix, a number. A name's suffix may be in
    upper or in lower case, its accents apart or not."""

    def __init__(self, images: Iterable[str]) -> None:
        self.images = tuple(images)
        self._names: dict[str, list[str]] = {}
        self._stems: dict[str, list[str]] = {}
        self._numbers: dict[int, list[str]] = {}
        self._cache: dict[str, tuple[str, ...]] = {}
        for image in self.images:
            name = composed(image.rpartition("/")[2])
            stem = name.rpartition(".")[0]
            self._names.setdefault(_with_small_suffix(name), []).append(image)
            self._stems.setdefault(stem, []).append(image)
            if re.fullmatch("[0-9]{1,18}", stem):
                self._numbers.setdefault(int(stem), []).append(image)

    def find(self, name: str) -> tuple[str, ...]:
        """The images of this name: one, none, or several between which it does not decide. A path of another
        machine does, as long as its end is the image's key or the other way round."""
        found = self._cache.get(name)
        if found is None:
            found = self._cache[name] = tuple(self._find(name))
        return found

    def _find(self, name: str) -> Sequence[str]:
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        if not parts or ".." in parts:
            return ()
        last, folders = composed(parts[-1]), parts[:-1]
        found = self._names.get(_with_small_suffix(last), []) if has_image_suffix(last) else []
        found = found or self._stems.get(last, [])
        if not found and not folders and re.fullmatch("[0-9]{1,18}", last):
            found = self._numbers.get(int(last), [])
        fitting = [image for image in found if _same_end(_folders(image), [*map(composed, folders)])]
        exact = [image for image in fitting if image.split("/") == parts]
        exact = exact or [image for image in fitting if image.split("/")[:-1] == folders]
        if len(exact) > 1:
            exact = [image for image in exact if image.rpartition("/")[2] == parts[-1]] or exact
        return exact or fitting


def _folders(image: str) -> list[str]:
    return [composed(part) for part in image.split("/")[:-1]]


def _with_small_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem + dot + suffix.lower()


def _same_end(one: Sequence[str], other: Sequence[str]) -> bool:
    length = min(len(one), len(other))
    return one[len(one) - length :] == other[len(other) - length :]
