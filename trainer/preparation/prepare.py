"""Images in folders -> a dataset: shards, then their index, and last the file that makes it one."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer import __version__, interrupts
from trainer.dataset.dataset import Encoding, Split
from trainer.dataset.manifest import FORMAT, MANIFEST, VERSION, keys_in, keys_of, write_manifest
from trainer.dataset.open_dataset import open_dataset
from trainer.errors import EXIT_INVALID, ConfigError, DataError, TrainerError, explain_os_error
from trainer.images.codec import Resize
from trainer.images.decoding import Decoder
from trainer.preparation import resume
from trainer.preparation.bad_images import BadImages, OnBad
from trainer.preparation.duplicates import Duplicates, Seen, find_duplicates
from trainer.preparation.labels import LabelledImage, LabelledImages, find
from trainer.preparation.shard_writer import Writer
from trainer.preparation.splits import divide
from trainer.storage import no_folders_left, open_store, remove_leftovers
from trainer.storage.base import ObjectChanged, Store
from trainer.urls import lies_in

ProgressCallback = Callable[[int, int], None]
"""Called with the images done and the images in all."""

MAX_BAD = 0.1
SHARD_BYTES = 64 << 20
MAX_BAD_LISTED = 1000
"""So many skipped images and duplicates are named in dataset.json."""

_MEANWHILE = "{}: another dataset was prepared here meanwhile"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedDataset:
    """What was written.

    Attributes:
        url: of the dataset.
        classes: their names, in the order of the labels.
        image_shape: (H, W, C).
        rows: split -> images.
        objects: shards.
        size: bytes of all shards.
        identity: the SHA-256 of the index.
        skipped: name and reason of each bad image.
        ignored: files that are not images, or have no label.
        duplicates: copies of images.
        resumed: images that an interrupted start had finished.
        labels: the convention that was followed.
        ignored_names: some of the ignored files.
        missing: images that have a label and are not there.
        missing_names: some of them.
        warnings: sentences.
    """

    url: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    rows: dict[str, int]
    objects: int
    size: int
    identity: str
    skipped: tuple[str, ...]
    ignored: int
    duplicates: Duplicates
    resumed: int
    labels: str = ""
    ignored_names: tuple[str, ...] = ()
    missing: int = 0
    missing_names: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def prepare(
    source: str,
    url: str,
    *,
    labels: str | None = None,
    crop: bool = False,
    split_folders: Mapping[str, str] | None = None,
    one_class: bool = False,
    image_size: tuple[int, int] | None = None,
    resize: Resize = "squash",
    validation: float | None = None,
    test: float | None = None,
    max_per_class: int | None = None,
    seed: int = 0,
    on_bad: OnBad = "fail",
    max_bad: float = MAX_BAD,
    encoding: Encoding = "raw",
    workers: int = 2,
    shard_bytes: int = SHARD_BYTES,
    rows_of_chunk: int | None = None,
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
) -> PreparedDataset:
    """Make a dataset at `url` of the labelled images at `source` (a folder, or an object URL).

    `labels` names the convention or a label list, `crop` cuts each image to its box, `split_folders`
    says which folders are splits, `one_class` allows one class: see `labels.find`.
    Images are decoded to RGB in `workers` threads, and given `image_size`, (height, width), as `resize`
    says; without a size they must all be of one. `validation` and `test` are shares of the images; by
    default the source's own folders, else a quarter to validate and none to test; of what is split so,
    `max_per_class` images of a class are taken. Rows to train on are written in random order by `seed`,
    which also makes the split. An image whose file has the same content as one of another split is kept in
    the first of train, validation and test alone. `on_bad`: bad images are an error that names them all, or
    are skipped and reported, up to `max_bad` of all images.
    Rows are the pixels, or with `encoding` JPEG files of them.
    Two shards are in memory at a time.

    A dataset that is there is replaced by `overwrite` only, and stays whole until the new one is committed.
    An interrupted start leaves its finished shards: started again with the same images and options it goes
    on behind them, and the result is the same; a start that commits deletes what others left.

    Raises ConfigError where there is a dataset already, DataError for invalid images: then what this start
    has uploaded is deleted again.
    """
    store = open_store(url)
    found = find(source, labels, crop=crop, splits=split_folders, one_class=one_class)
    if lies_in(store.url, found.store.url):
        raise ConfigError(
            f"{store.url} is inside the images at {found.store.url}, where it would be taken for a class",
            "Choose a place beside them",
        )
    splits = divide(found, validation, test, seed, max_per_class)
    options = {
        "image_size": image_size,
        "resize": resize,
        "seed": seed,
        "validation": validation,
        "test": test,
        "labels": found.labels,
        "crop": crop,
        "max_per_class": max_per_class,
        "encoding": encoding,
    }
    writing = {"classes": found.classes, "shard_bytes": shard_bytes, "rows_of_chunk": rows_of_chunk}
    plan = resume.fingerprint(found.store, splits, options | writing)
    before = _look(store)
    if before.etag and not overwrite:
        return _finished(store, plan)
    total = sum(map(len, splits.values()))
    bad = BadImages(found.store.url, total, on_bad, max_bad)
    writer = Writer(
        store,
        plan,
        Decoder(found, image_size, resize, workers, jpeg=encoding == "jpeg"),
        bad,
        classes=len(found.classes),
        shard_bytes=shard_bytes,
        rows_of_chunk=rows_of_chunk,
        jpeg=encoding == "jpeg",
        attributes={
            "format": FORMAT,
            "version": str(VERSION),
            "classes": found.classes,
            "options": json.dumps(options),
        },
        done=_counting(progress, total),
    )
    with no_folders_left(store):
        committing = False
        try:
            with writer.working():
                written, duplicates = _write(writer, splits, bad)
            _check_classes(found, written["train"])
            made = {
                "source": found.store.url,
                "trainer": __version__,
                "plan": plan,
                **options,
                "skipped": bad.problems[:MAX_BAD_LISTED],
                "skipped_images": len(bad.problems),
                "duplicates": duplicates.summary(MAX_BAD_LISTED),
                "ignored": found.ignored.count,
                "missing": found.missing.count,
            }
            parts = {name: writer.put_index(split) for name, split in written.items()}
            _check_whole(store, written)
            with interrupts.deferred():
                committing = True  # from here on it may be there, also where an error says that it is not
                identity = _commit(store, before.etag, found.classes, writer.shape, parts, made)
        except BaseException as error:
            if not committing or isinstance(error, ConfigError):
                writer.undo(finished=not _goes_on(error))
            raise
        _clean(store, before, writer, parts)
    objects = [shard for split in written.values() for shard in split.objects]
    return PreparedDataset(
        url=store.url,
        classes=found.classes,
        image_shape=writer.shape,
        rows={name: split.rows for name, split in written.items()},
        objects=len(objects),
        size=sum(shard.size for shard in objects),
        identity=identity,
        skipped=tuple(bad.problems),
        ignored=found.ignored.count,
        duplicates=duplicates,
        resumed=writer.resumed,
        labels=found.labels,
        ignored_names=found.ignored.first,
        missing=found.missing.count,
        missing_names=found.missing.first,
        warnings=found.warnings,
    )


def _check_classes(source: LabelledImages, train: Split) -> None:
    counts = np.bincount(train.labels, minlength=len(source.classes))
    if not counts.all():
        name = source.classes[int(np.argmin(counts))]
        raise DataError(
            f"no readable image is left to train the class {name!r} on",
            "Replace its damaged images, or remove it",
        )


@dataclass(frozen=True)
class _PreviousDataset:
    """The dataset that is there before: its etag, and the keys that it names."""

    etag: str | None
    keys: tuple[str, ...]


def _look(store: Store) -> _PreviousDataset:
    try:
        etag = store.stat(MANIFEST).etag
        manifest = store.get(MANIFEST)
    except FileNotFoundError:
        _check_place(store)
        return _PreviousDataset(None, ())
    return _PreviousDataset(etag, tuple(keys_in(manifest)))


def _finished(store: Store, plan: str) -> PreparedDataset:
    """The dataset that is there, if it was made of the same images with the same options, as by a start that
    was interrupted behind its commit. Raises ConfigError for another one."""
    problem = f"{store.url}: there is a dataset already"
    try:
        dataset = open_dataset(store.url)
    except DataError as error:
        raise ConfigError(
            f"{problem} ({error.problem})", "Choose another URL, or give --overwrite"
        ) from error
    if dataset.made.get("plan") != plan:
        raise ConfigError(problem, "Choose another URL, or give --overwrite")
    resume.delete(store, [info.key for info in store.list(resume.record_folder(plan))])
    log.info("%s is finished already", store.url)
    objects = [shard for split in dataset.splits.values() for shard in split.objects]
    copies = dataset.made["duplicates"]
    return PreparedDataset(
        url=store.url,
        classes=dataset.classes,
        image_shape=dataset.image_shape,
        rows={name: split.rows for name, split in dataset.splits.items()},
        objects=len(objects),
        size=sum(shard.size for shard in objects),
        identity=dataset.identity,
        skipped=tuple(dataset.made["skipped"]),
        ignored=dataset.made["ignored"],
        duplicates=Duplicates(
            copies["within_classes"], tuple(copies["over_classes"]), tuple(copies["left_out"])
        ),
        resumed=sum(split.rows for split in dataset.splits.values()),
    )


def _check_place(store: Store) -> None:
    """Before any work is done: a bucket that is missing."""
    try:
        next(iter(store.list()), None)
    except FileNotFoundError as error:
        raise ConfigError(str(error), "Create the bucket, or correct the URL") from error


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
                f"no image is left for the {name} split: those that are no copies of images in another split "
                "are damaged",
                "Replace the images, or choose other shares",
            )
        whole[name] = split
    return whole, find_duplicates(contents)


def _check_whole(store: Store, written: Mapping[str, Split]) -> None:
    """That nobody who has committed meanwhile has deleted a shard."""
    for name, split in written.items():
        there = {info.key: info.etag for info in store.list(f"{name}/")}
        if any(there.get(shard.key) != shard.etag for shard in split.objects):
            raise ConfigError(_MEANWHILE.format(store.url), "Choose another URL")


def _commit(
    store: Store,
    before: str | None,
    classes: tuple[str, ...],
    shape: tuple[int, int, int],
    splits: dict[str, dict[str, Any]],
    made: dict[str, Any],
) -> str:
    try:
        return write_manifest(store, classes, shape, splits, made, if_match=before)
    except (FileExistsError, ObjectChanged):
        raise ConfigError(_MEANWHILE.format(store.url), "Choose another URL") from None


def _clean(
    store: Store, before: _PreviousDataset, writer: Writer, parts: Mapping[str, dict[str, Any]]
) -> None:
    """Deletes what the new dataset does not name: of the one before, and of starts that did not finish."""
    named = keys_of(parts)
    try:
        old = [*(key for key in before.keys if key not in named), *resume.leftovers(store, named)]
        failed = resume.delete(store, list(dict.fromkeys(old)))
    except OSError as error:
        log.warning("%s: what was there before could not be deleted (%s)", store.url, error)
    else:
        if failed:
            log.warning("%s: %d objects that were there before could not be deleted", store.url, failed)
    remove_leftovers(store, writer.began)


def _goes_on(error: BaseException) -> bool:
    """Whether a start with the same images and options can use the shards that are there."""
    if isinstance(error, TrainerError):
        return error.exit_code != EXIT_INVALID
    if isinstance(error, OSError):
        return explain_os_error(error).exit_code != EXIT_INVALID
    return isinstance(error, KeyboardInterrupt | MemoryError)
