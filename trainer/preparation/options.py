"""How a dataset is to be made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.dataset.dataset import Encoding
from trainer.images.codec import Resize
from trainer.preparation import resume
from trainer.preparation.bad_images import OnBad
from trainer.preparation.hdf5.hdf5_images import Hdf5Images, find_hdf5, is_hdf5, options_of
from trainer.preparation.hdf5.parts import DatasetNames
from trainer.preparation.labels import NO_COLUMNS, Columns, LabelledImage, LabelledImages, find
from trainer.preparation.labels.datasets.cifar10_download import downloaded
from trainer.preparation.splits import divide

MAX_BAD = 0.1
SHARD_BYTES = 64 << 20


@dataclass(frozen=True)
class PrepareOptions:
    """The options of `prepare`.

    Attributes:
        labels: the convention of the labels, or a label list; None for what fits.
        columns: the columns of a label table, where they are not known by their names.
        crop: whether each image is cut to its box.
        split_folders: folder -> split; None for folders with the names of splits.
        one_class: whether all images may be of one class.
        classes: the classes to take, in the order of their numbers; None for all.
        image_size: (height, width) in pixels; None where all images have one size.
        resize: how an image gets that size.
        validation: the fraction of the images for it; None for the source's own folder, else
            `splits.DEFAULT_FRACTION`.
        test: the fraction of the images for it; None for the source's own folder, else
            `splits.DEFAULT_FRACTION` where neither of the two is set, and none otherwise.
        max_per_class: images of each class that are divided into splits; None for all.
        first: images of each split; None for all.
        seed: of the random split, choice and order of rows.
        on_bad: whether bad images are an error that names them all, or are skipped and reported.
        max_bad: the share of bad images above which they are an error in any case.
        encoding: whether rows are pixels, or JPEG files of them.
        workers: threads that decode images.
        shard_bytes: the size of a shard; two are in memory at a time.
        rows_of_chunk: rows in a chunk of a shard; None for what is usual.
        overwrite: whether a dataset that is there is replaced.
        hdf5: the datasets of HDF5 files; None for the usual names.
    """

    labels: str | None = None
    columns: Columns = NO_COLUMNS
    crop: bool = False
    split_folders: Mapping[str, str] | None = None
    one_class: bool = False
    classes: tuple[str, ...] | None = None
    image_size: tuple[int, int] | None = None
    resize: Resize = "squash"
    validation: float | None = None
    test: float | None = None
    max_per_class: int | None = None
    first: int | None = None
    seed: int = 0
    on_bad: OnBad = "fail"
    max_bad: float = MAX_BAD
    encoding: Encoding = "raw"
    workers: int = 2
    shard_bytes: int = SHARD_BYTES
    rows_of_chunk: int | None = None
    overwrite: bool = False
    hdf5: DatasetNames | None = None

    def find(self, source: str) -> LabelledImages:
        """The labelled images at a folder, an object URL or in HDF5 files, or of a dataset's name; see
        `labels.find` and `find_hdf5`."""
        if self.hdf5 or is_hdf5(source):
            for_folders = {
                "labels": self.labels,
                "crop": self.crop,
                "splits": self.split_folders,
                "image-column": self.columns.image,
                "label-column": self.columns.label,
                "classes": self.classes,
            }
            names = self.hdf5 or DatasetNames()
            return find_hdf5(source, names, one_class=self.one_class, of_folders=for_folders)
        return find(
            downloaded(source),
            self.labels,
            columns=self.columns,
            crop=self.crop,
            splits=self.split_folders,
            classes=self.classes,
            one_class=self.one_class,
        )

    def divide(self, source: LabelledImages) -> dict[str, list[LabelledImage]]:
        """The images of each split; see `splits.divide`."""
        splits = divide(source, self.validation, self.test, self.seed, self.max_per_class, self.first)
        return source.in_reading_order(splits) if isinstance(source, Hdf5Images) else splits

    def recorded(self, source: LabelledImages) -> dict[str, Any]:
        """What a dataset and its shards say about how they were made."""
        return {
            "image_size": self.image_size,
            "resize": self.resize,
            "seed": self.seed,
            "validation": self.validation,
            "test": self.test,
            "labels": source.labels,
            "crop": self.crop,
            "max_per_class": self.max_per_class,
            "first": self.first,
            "encoding": self.encoding,
            **(options_of(self.hdf5) if self.hdf5 else {}),
        }

    def fingerprint(self, source: LabelledImages, splits: Mapping[str, Sequence[LabelledImage]]) -> str:
        """SHA-256 of all that decides what the shards hold; see `resume.fingerprint`."""
        writing = {
            "classes": source.classes,
            "shard_bytes": self.shard_bytes,
            "rows_of_chunk": self.rows_of_chunk,
        }
        return resume.fingerprint(source.store, splits, self.recorded(source) | writing)
