"""Images in folders -> a dataset: shards, then their index, and last the file that makes it one."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer import __version__, interrupts
from trainer.dataset.dataset import Split
from trainer.dataset.manifest import FORMAT, VERSION
from trainer.errors import EXIT_INVALID, ConfigError, DataError, TrainerError, explain_os_error
from trainer.images.common_size import common_size
from trainer.images.decoding import Decoder
from trainer.preparation.bad_images import BadImages
from trainer.preparation.duplicates import Duplicates, Seen, find_duplicates
from trainer.preparation.hdf5.hdf5_images import Hdf5Images
from trainer.preparation.labels import LabelledImage, LabelledImages
from trainer.preparation.options import PrepareOptions
from trainer.preparation.prepared import PreparedDataset
from trainer.preparation.shard_writer import Writer
from trainer.preparation.target import Target
from trainer.storage import open_store
from trainer.storage.base import Store
from trainer.urls import lies_in

ProgressCallback = Callable[[int, int], None]
"""Called with the images done and the images in all."""

MAX_BAD_LISTED = 1000
"""Skipped images and duplicates that are named in dataset.json."""


def prepare(
    source: str,
    url: str,
    options: PrepareOptions | None = None,
    *,
    progress: ProgressCallback | None = None,
    **changes: Any,
) -> PreparedDataset:
    """Make a dataset at `url` of the labelled images at `source` (a folder, an object URL, or HDF5 files).

    `changes` are options by name, as `seed=1`. Images are decoded to RGB. Rows to train on are written in
    random order. An image whose file has the same content as one of another split is kept in the first of
    train, validation and test alone.

    A dataset that is there is replaced by `overwrite` only, and stays whole until the new one is committed.
    An interrupted start leaves its finished shards: started again with the same images and options it goes
    on behind them, and the result is the same; a start that commits deletes what others left.

    Raises ConfigError where there is a dataset already, DataError for invalid images: then what this start
    has uploaded is deleted again.
    """
    options = replace(options or PrepareOptions(), **changes)
    store = open_store(url)
    found = options.find(source)
    if lies_in(store.url, found.store.url):
        raise ConfigError(
            f"{store.url} is inside the images at {found.store.url}, where it would be treated as a class",
            "Choose a place beside them",
        )
    splits = options.divide(found)
    options, resized = _sized(options, found)
    plan = options.fingerprint(found, splits)
    target = Target.look(store)
    if target.etag and not options.overwrite:
        return target.finished(plan)
    total = sum(map(len, splits.values()))
    bad = BadImages(found.store.url, total, options.on_bad, options.max_bad)
    writer = _writer(store, plan, found, options, bad, _counting(progress, total))
    with store.no_folders_left():
        committing = False
        try:
            with writer.working():
                written, duplicates = _write(writer, splits, bad)
            _check_classes(found, written["train"])
            parts = {name: writer.put_index(split) for name, split in written.items()}
            target.check_whole(written)
            with interrupts.deferred():
                committing = True  # from here on it may be there, also where an error says that it is not
                made = _made(found, options, plan, bad, duplicates)
                identity = target.commit(found.classes, writer.shape, parts, made)
        except BaseException as error:
            if not committing or isinstance(error, ConfigError):
                writer.undo(finished=not _goes_on(error))
            raise
        target.clean(parts, writer.began)
    return PreparedDataset.of_source(
        found,
        url=store.url,
        image_shape=writer.shape,
        splits=written,
        identity=identity,
        skipped=tuple(bad.problems),
        duplicates=duplicates,
        resumed=writer.resumed,
        resized=resized,
    )


def _sized(options: PrepareOptions, source: LabelledImages) -> tuple[PrepareOptions, str]:
    """The options with a size for photographs of different sizes, and why; see `common_size`."""
    if options.image_size or isinstance(source, Hdf5Images) or source.pixels:
        return options, ""
    size, why = common_size(source, source.splits["train"])
    return replace(options, image_size=size), why


def _writer(
    store: Store,
    plan: str,
    source: LabelledImages,
    options: PrepareOptions,
    bad: BadImages,
    done: Callable[[int], None],
) -> Writer:
    jpeg = options.encoding == "jpeg"
    return Writer(
        store,
        plan,
        Decoder(source, options.image_size, options.resize, options.workers, jpeg=jpeg),
        bad,
        classes=len(source.classes),
        shard_bytes=options.shard_bytes,
        rows_of_chunk=options.rows_of_chunk,
        jpeg=jpeg,
        attributes={
            "format": FORMAT,
            "version": str(VERSION),
            "classes": source.classes,
            "options": json.dumps(options.recorded(source)),
        },
        done=done,
    )


def _made(
    source: LabelledImages, options: PrepareOptions, plan: str, bad: BadImages, duplicates: Duplicates
) -> dict[str, Any]:
    """What dataset.json says about how the dataset was made."""
    return {
        "source": source.store.url,
        "trainer": __version__,
        "plan": plan,
        **options.recorded(source),
        "skipped": bad.problems[:MAX_BAD_LISTED],
        "skipped_images": len(bad.problems),
        "duplicates": duplicates.summary(MAX_BAD_LISTED),
        "ignored": source.ignored.count,
        "missing": source.missing.count,
    }


def _check_classes(source: LabelledImages, train: Split) -> None:
    counts = np.bincount(train.labels, minlength=len(source.classes))
    if not counts.all():
        name = source.classes[int(np.argmin(counts))]
        raise DataError(
            f"no readable image is left to train the class {name!r} on",
            "Replace its damaged images, or remove it",
        )


def _counting(progress: ProgressCallback | None, total: int) -> Callable[[int], None]:
    done = 0

    def more(count: int) -> None:
        nonlocal done
        done += count
        if progress and count:
            progress(done, total)

    return more


def _write(
    writer: Writer, splits: dict[str, list[LabelledImage]], bad: BadImages
) -> tuple[dict[str, Split], Duplicates]:
    seen = Seen()
    written: dict[str, Split | None] = {}
    contents: dict[str, tuple[list[LabelledImage], NDArray[np.uint8]]] = {}
    for name, items in splits.items():
        written[name], digests = writer.write(name, items, seen)
        contents[name] = (items, digests)
        seen.add(digests)
    bad.check()
    whole: dict[str, Split] = {}
    for name, split in written.items():
        if split is None:
            raise DataError(
                f"no image is left for the {name} split: those that are not copies of images in another "
                "split are damaged",
                "Replace the images, or choose other shares",
            )
        whole[name] = split
    return whole, find_duplicates(contents)


def _goes_on(error: BaseException) -> bool:
    """Whether a start with the same images and options can use the shards that are there."""
    if isinstance(error, TrainerError):
        return error.exit_code != EXIT_INVALID
    if isinstance(error, OSError):
        return explain_os_error(error).exit_code != EXIT_INVALID
    return isinstance(error, KeyboardInterrupt | MemoryError)
