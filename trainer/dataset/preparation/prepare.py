"""Images in folders -> a dataset: shards, then their index, and last the file that makes it one."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from trainer import interrupts
from trainer.dataset import index
from trainer.dataset.images import decode_image
from trainer.dataset.preparation import shards
from trainer.dataset.preparation.labels import Item, Source, find
from trainer.dataset.preparation.shards import Example, Images
from trainer.dataset.preparation.splits import divide
from trainer.errors import ConfigError, DataError
from trainer.storage import no_folders_left, open_store
from trainer.storage.base import Store

OnBad = Literal["fail", "skip"]
ProgressCallback = Callable[[int, int], None]
"""Called with the images done and the images in all."""


@dataclass(frozen=True)
class PreparedDataset:
    """What was written: rows of each split, the images that were skipped (name and reason), the files that
    were no images and the images that were not there: how many, and the first few names.

    `labels` is the convention that was followed, `warnings` are sentences for a person."""

    url: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    rows: dict[str, int]
    objects: int
    size: int
    identity: str
    skipped: tuple[str, ...]
    ignored: int
    labels: str
    ignored_names: tuple[str, ...]
    missing: int
    missing_names: tuple[str, ...]
    warnings: tuple[str, ...]


def prepare(
    source: str,
    url: str,
    *,
    labels: str | None = None,
    crop: bool = False,
    image_size: tuple[int, int] | None = None,
    validation: float | None = None,
    test: float | None = None,
    max_per_class: int | None = None,
    seed: int = 0,
    on_bad: OnBad = "fail",
    workers: int = 2,
    shard_bytes: int = 64 << 20,
    rows_of_chunk: int | None = None,
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
) -> PreparedDataset:
    """Make a dataset at `url` of the labelled images at `source` (a folder, or an object URL).

    `labels` names the convention or a label list, `crop` cuts each image to its box: see `labels.find`.
    Images are decoded to RGB, and resized to `image_size`, (height, width), if given; else they must all
    be of one size. `validation` and `test` are shares of the images; by default the source's own folders,
    else a quarter to validate and none to test. Of what is split so, `max_per_class` images of a class are
    taken. Rows to train on are written in random order by `seed`,
    which also makes the split. `on_bad`: a damaged image is an error, or is skipped and reported.
    One shard is in memory at a time.

    Raises ConfigError where there is a dataset already, DataError for invalid images.
    Whatever is raised, no dataset is there, and what was uploaded is deleted again.
    """
    store = open_store(url)
    found = find(source, labels, crop=crop)
    if f"{store.url}/".startswith(f"{found.store.url}/"):
        raise ConfigError(
            f"{store.url} is inside the images at {found.store.url}, where it would be taken for a class",
            "Choose a place beside them",
        )
    splits = divide(found, validation, test, seed, max_per_class)
    _make_room(store, overwrite)
    total = sum(map(len, splits.values()))
    decoder = _Decoder(found, image_size, on_bad, max(1, workers), total, progress)
    uploaded: list[str] = []
    written: dict[str, index.Split] = {}
    committing = False
    with no_folders_left(store):
        try:
            for name, items in splits.items():
                written[name] = shards.write_split(
                    store,
                    name,
                    decoder.examples(items),
                    classes=len(found.classes),
                    shard_bytes=shard_bytes,
                    rows_of_chunk=rows_of_chunk,
                    uploaded=uploaded,
                )
            _check_classes(found, written["train"])
            parts = {}
            for name, split in written.items():
                uploaded += index.array_keys(name)
                parts[name] = index.write_split(store, split)
            made = {
                "source": found.store.url,
                "seed": seed,
                "validation": validation,
                "test": test,
                "image_size": image_size,
                "labels": found.labels,
                "crop": crop,
                "max_per_class": max_per_class,
                "skipped": decoder.skipped,
                "ignored": found.ignored.count,
                "missing": found.missing.count,
            }
            with interrupts.deferred():
                committing = True  # from here on it may be there, also where an error says that it is not
                identity = _commit(store, found.classes, decoder.shape, parts, made)
        except BaseException:
            if not committing:
                for key in uploaded:
                    with suppress(Exception):
                        store.delete(key)
            raise
    objects = [shard for split in written.values() for shard in split.objects]
    return PreparedDataset(
        url=store.url,
        classes=found.classes,
        image_shape=decoder.shape,
        rows={name: split.rows for name, split in written.items()},
        objects=len(objects),
        size=sum(shard.size for shard in objects),
        identity=identity,
        skipped=tuple(decoder.skipped),
        ignored=found.ignored.count,
        labels=found.labels,
        ignored_names=found.ignored.first,
        missing=found.missing.count,
        missing_names=found.missing.first,
        warnings=found.warnings,
    )


class _Decoder:
    """Reads and decodes images in threads (Pillow decodes without Python's lock), in order.

    `shape` is (height, width, 3) once the first was decoded.
    """

    def __init__(
        self,
        source: Source,
        size: tuple[int, int] | None,
        on_bad: OnBad,
        workers: int,
        total: int,
        progress: ProgressCallback | None,
    ) -> None:
        self.shape: tuple[int, int, int] = (*size, 3) if size else (0, 0, 0)
        self.skipped: list[str] = []
        self._source = source
        self._size = size
        self._on_bad = on_bad
        self._workers = workers
        self._total = total
        self._progress = progress
        self._done = 0
        self._first = ""

    def examples(self, items: Sequence[Item]) -> Iterator[Example]:
        """The images of `items` in their order, a few read ahead.

        Raises DataError for a damaged one, unless those are skipped, and for one of another size.
        """
        pending: deque[tuple[Item, Future[Images]]] = deque()
        pool = ThreadPoolExecutor(self._workers)
        try:
            for item in items:
                pending.append((item, pool.submit(self._read, item)))
                if len(pending) >= 4 * self._workers:
                    yield from self._finish(*pending.popleft())
            while pending:
                yield from self._finish(*pending.popleft())
        finally:  # after an error nobody waits for a store that may not answer
            pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, item: Item) -> Images:
        name = f"{self._source.store.url}/{item.key}"
        return decode_image(self._source.load(item), self._size, name, item.crop)

    def _finish(self, item: Item, future: Future[Images]) -> Iterator[Example]:
        try:
            image = future.result()
        except DataError as error:
            if self._on_bad == "fail":
                raise
            self.skipped.append(error.problem)
        else:
            self._check_size(item.key, image)
            yield Example(image, item.label, item.key)
        self._done += 1
        if self._progress:
            self._progress(self._done, self._total)

    def _check_size(self, key: str, image: Images) -> None:
        height, width, _ = image.shape
        if not self.shape[0]:
            self.shape, self._first = (height, width, 3), key
        if self.shape != (height, width, 3):
            raise DataError(
                f"{self._source.store.url}/{key} is {width}x{height} pixels and {self._first} is "
                f"{self.shape[1]}x{self.shape[0]}; without a size to resize to, all must be of one size",
                "Give the size with --image-size",
            )


def _commit(
    store: Store,
    classes: tuple[str, ...],
    shape: tuple[int, int, int],
    splits: dict[str, dict[str, Any]],
    made: dict[str, Any],
) -> str:
    try:
        return index.write_manifest(store, classes, shape, splits, made)
    except FileExistsError:
        raise ConfigError(
            f"{store.url}: another dataset was prepared here meanwhile", "Choose another URL"
        ) from None


def _check_classes(source: Source, train: index.Split) -> None:
    counts = np.bincount(train.labels, minlength=len(source.classes))
    if not counts.all():
        name = source.classes[int(np.argmin(counts))]
        raise DataError(
            f"No readable image is left to train the class {name!r} on",
            "Replace its damaged images, or remove it",
        )


def _make_room(store: Store, overwrite: bool) -> None:
    """Nothing may be where the dataset goes; when overwriting, its first file goes first."""
    try:
        manifest = store.get(index.MANIFEST)
    except FileNotFoundError:
        _check_place(store)
        return
    if not overwrite:
        raise ConfigError(
            f"{store.url}: there is a dataset already", "Choose another URL, or give --overwrite"
        )
    store.delete(index.MANIFEST)
    for key in index.keys_in(manifest):
        store.delete(key)


def _check_place(store: Store) -> None:
    """Before any work is done: a bucket that is missing."""
    try:
        next(iter(store.list()), None)
    except FileNotFoundError as error:
        raise ConfigError(str(error), "Create the bucket, or correct the URL") from error
