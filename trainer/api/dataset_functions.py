"""`trainer.prepare`, `index` and `inspect`: datasets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from trainer.api import arguments_checked as checked
from trainer.api.arguments_checked import ImageSize, Place
from trainer.api.shown import Progress, shown
from trainer.dataset.inspection.describe import DatasetDescription
from trainer.dataset.inspection.describe import inspect as describe
from trainer.errors import ConfigError
from trainer.machine.cores import available_cores
from trainer.preparation.hdf5.index_hdf5 import Indexed, index_hdf5, is_prepared
from trainer.preparation.hdf5.parts import DatasetNames, Pair
from trainer.preparation.labels import Columns
from trainer.preparation.options import MAX_BAD, PrepareOptions
from trainer.preparation.prepare import prepare as write_dataset
from trainer.preparation.prepared import PreparedDataset
from trainer.preparation.reindex import Reindexed, reindex

Shape = tuple[int, int, int]
Pairs = Sequence[tuple[str, str]]
"""HDF5 datasets of images and of their labels, each [FILE:]NAME."""


def prepare(
    source: Place,
    url: Place,
    *,
    labels: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    splits: Mapping[str, str] | None = None,
    one_class: bool = False,
    classes: Sequence[str] | None = None,
    crop: bool = False,
    image_size: ImageSize | None = None,
    resize: Literal["squash", "crop", "pad"] = "squash",
    validation: float | None = None,
    test: float | None = None,
    max_per_class: int | None = None,
    first: int | None = None,
    seed: int = 0,
    on_bad: Literal["fail", "skip"] = "fail",
    max_bad: float = MAX_BAD,
    encoding: Literal["raw", "jpeg"] = "raw",
    shard_size: int | str = "64MiB",
    overwrite: bool = False,
    hdf5: Sequence[tuple[str, str, str]] = (),
    class_names: str | None = None,
    image_shape: Shape | None = None,
    progress: Progress = True,
) -> PreparedDataset:
    """Writes images as a dataset at `url`, or resumes an interrupted call; the options are those of `trainer
    prepare`.

    Args:
        splits: folder -> train, validation or test.
        hdf5: (split or "", images, labels) of HDF5 datasets, each [FILE:]NAME.
        image_shape: of one row in an HDF5 file.
        progress: True, False, or a function of the images that are done and their total.

    Raises ConfigError, DataError with a remedy.
    """
    names = DatasetNames(classes=class_names, shape=image_shape, pairs=tuple(Pair(*pair) for pair in hdf5))
    options = PrepareOptions(
        labels=labels,
        columns=Columns(image_column, label_column),
        split_folders=splits,
        one_class=one_class,
        classes=None if classes is None else tuple(classes),
        crop=crop,
        image_size=checked.sides("image_size", image_size),
        resize=checked.one_of("resize", resize, ("squash", "crop", "pad")),
        validation=checked.fraction("validation", validation),
        test=checked.fraction("test", test),
        max_per_class=None if max_per_class is None else checked.whole("max_per_class", max_per_class, 1),
        first=None if first is None else checked.whole("first", first, 1),
        seed=checked.whole("seed", seed, 0),
        on_bad=checked.one_of("on_bad", on_bad, ("fail", "skip")),
        max_bad=checked.fraction("max_bad", max_bad) or 0.0,
        encoding=checked.one_of("encoding", encoding, ("raw", "jpeg")),
        shard_bytes=checked.shard_bytes(shard_size),
        overwrite=overwrite,
        hdf5=names if names != DatasetNames() else None,
        workers=available_cores(),
    )
    with shown(progress, "images prepared") as report:
        return write_dataset(
            checked.place("source", source), checked.place("url", url), options, progress=report
        )


def index(
    url: Place,
    target: Place | None = None,
    *,
    images: str | None = None,
    labels: str | None = None,
    train: Pairs = (),
    validation: Pairs = (),
    test: Pairs = (),
    classes: str | None = None,
    image_shape: Shape | None = None,
    progress: Progress = True,
) -> Indexed | Reindexed:
    """Indexes HDF5 files in place, or a dataset that was copied; the options are those of `trainer index`.

    Every byte is read once. Raises ConfigError, DataError with a remedy.
    """
    splits = {"train": train, "validation": validation, "test": test}
    pairs = tuple(Pair(split, *pair) for split, pairs in splits.items() for pair in pairs)
    if pairs and (images or labels):
        raise ConfigError("images, labels: the splits have datasets of their own", "Leave them out")
    names = DatasetNames(images, labels, classes, image_shape, pairs)
    source = checked.place("url", url)
    if is_prepared(source):
        if target or names != DatasetNames():
            raise ConfigError(
                f"{url}: a dataset of `trainer prepare` is indexed in place", "Pass its URL alone"
            )
        with shown(progress, "shards read") as report:
            return reindex(source, progress=report)
    with shown(progress, "MiB read") as report:
        where = None if target is None else checked.place("target", target)
        return index_hdf5(source, where, names, progress=report)


@dataclass(frozen=True)
class InspectedDataset:
    """What a dataset holds.

    Attributes:
        url: of the dataset.
        classes: their names, in the order of the labels.
        image_shape: (H, W, C).
        rows: split -> images.
        rows_per_class: split -> class -> images.
        findings: what is suspicious, in sentences.
        document: all that is known, as `trainer inspect --json` prints it (docs/json.md).
    """

    url: str
    classes: tuple[str, ...]
    image_shape: Shape
    rows: dict[str, int]
    rows_per_class: dict[str, dict[str, int]]
    findings: tuple[str, ...]
    document: DatasetDescription


def inspect(url: Place, *, read: bool = False, progress: Progress = True) -> InspectedDataset:
    """Describes a dataset, and anything suspicious in it; with `read` also its images, all of which are then
    read. Raises DataError with a remedy."""
    with shown(progress, "images read") as report:
        document = describe(checked.place("url", url), read=read, progress=report)
    height, width, channels = document["image_shape"]
    return InspectedDataset(
        document["url"],
        tuple(document["classes"]),
        (height, width, channels),
        {name: split["rows"] for name, split in document["splits"].items()},
        {name: split["rows_per_class"] for name, split in document["splits"].items()},
        tuple(document["findings"]),
        document,
    )
