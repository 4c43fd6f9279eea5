"""Images by paths, object URLs and http(s) URLs: those of a list, or of a command line."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trainer.errors import ConfigError, DataError
from trainer.images.decoding import Decoded
from trainer.inference.sources.image import Image, Task
from trainer.inference.sources.reading import MAX_BYTES, decoder, shown
from trainer.inference.sources.web import fetch, is_web
from trainer.output.units import size
from trainer.runs.run_document import RunDocument
from trainer.storage import Store, join, open_store, split_url

SUFFIX = ".txt"
COMMENT, TWICE = "a line that is empty or begins with #", "listed twice"


class Paths:
    """Images by name; see `ImageSource`. A relative path is one below `store`."""

    def __init__(
        self, url: str, names: Iterable[str], store: Store, run: RunDocument, *, allow_private: bool
    ) -> None:
        self.url, self.store, self._names = url, store, names
        self.ignored: Counter[str] = Counter()
        self.bound: dict[str, str] = {}
        self._allow_private = allow_private
        self._decoder = decoder(self, run)

    def __iter__(self) -> Iterator[Image]:
        self.ignored.clear()
        seen = set()
        for line in self._names:
            name = line.strip()
            rule = COMMENT if not name or name.startswith("#") else TWICE if name in seen else ""
            if rule:
                self.ignored[rule] += 1
            else:
                seen.add(name)
                yield Image(name)

    def read(self, tasks: Iterable[Task]) -> Iterator[Decoded[Task]]:
        return self._decoder.decode(tasks)

    def load(self, task: Task) -> bytes:
        """Raises DataError for an invalid name, FileNotFoundError for a missing file."""
        return self._load(task.key)

    def show(self, key: str) -> NDArray[np.uint8] | None:
        return shown(lambda: self._load(key))

    def name(self, key: str) -> str:
        return key

    def label(self, key: str) -> None:
        """None: the classes are unknown."""

    def _load(self, name: str) -> bytes:
        if is_web(name):
            return fetch(name, allow_private=self._allow_private)
        try:
            if "://" in name or name.startswith("/"):
                folder, key = split_url(name)
                store = _store(folder)
            else:
                store, key = self.store, re.sub(r"^(\./+)+", "", name)
            count = store.stat(key).size
            if count > MAX_BYTES:
                raise DataError(f"{name}: too large: {size(count)}; at most {size(MAX_BYTES)} are read")
            return store.get(key)
        except ConfigError as error:
            raise DataError(f"{name}: {error.problem}") from None
        except ValueError as error:
            raise DataError(f"{name}: not a path or URL of a file ({error})") from None


def from_list(url: str, run: RunDocument, *, allow_private: bool) -> Paths:
    """The images that a text file lists, one per line; relative paths start at its folder. Raises DataError
    where there is no such file."""
    folder, key = split_url(url)
    store = open_store(folder)
    try:
        names: Sequence[str] = store.get(key).decode("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DataError(
            f"{url}: there is no such list", "Specify a text file with one path or URL per line"
        ) from None
    except UnicodeDecodeError:
        raise DataError(f"{url}: expected a list in UTF-8, one path or URL per line") from None
    return Paths(join(store.url, key), names, store, run, allow_private=allow_private)


@lru_cache(maxsize=1024)
def _store(url: str) -> Store:
    return open_store(url)
