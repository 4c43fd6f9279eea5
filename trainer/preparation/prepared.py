"""What `prepare` made, or what was made before."""

from collections.abc import Mapping
from dataclasses import dataclass

from trainer.dataset.dataset import Dataset, Split
from trainer.preparation.duplicates import Duplicates
from trainer.preparation.labels import LabelledImages


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
        divided: the splits whose images were drawn at random, by class; empty where the source has splits of
            its own, or an earlier start has finished.
        resized: why images were resized that nobody asked to; else empty.
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
    divided: tuple[str, ...] = ()
    resized: str = ""

    @classmethod
    def of_source(
        cls,
        source: LabelledImages,
        *,
        url: str,
        image_shape: tuple[int, int, int],
        splits: Mapping[str, Split],
        identity: str,
        skipped: tuple[str, ...],
        duplicates: Duplicates,
        resumed: int,
        resized: str = "",
    ) -> "PreparedDataset":
        """What this start has made of a source."""
        rows, objects, size = _measured(splits)
        return cls(
            url=url,
            classes=source.classes,
            image_shape=image_shape,
            rows=rows,
            objects=objects,
            size=size,
            identity=identity,
            skipped=skipped,
            ignored=source.ignored.count,
            duplicates=duplicates,
            resumed=resumed,
            labels=source.labels,
            ignored_names=source.ignored.first,
            missing=source.missing.count,
            missing_names=source.missing.first,
            warnings=source.warnings,
            divided=tuple(name for name in rows if name != "train" and name not in source.splits),
            resized=resized,
        )

    @classmethod
    def of_dataset(cls, dataset: Dataset) -> "PreparedDataset":
        """What an earlier start has made."""
        rows, objects, size = _measured(dataset.splits)
        copies = dataset.made["duplicates"]
        return cls(
            url=dataset.store.url,
            classes=dataset.classes,
            image_shape=dataset.image_shape,
            rows=rows,
            objects=objects,
            size=size,
            identity=dataset.identity,
            skipped=tuple(dataset.made["skipped"]),
            ignored=dataset.made["ignored"],
            duplicates=Duplicates(
                copies["within_classes"], tuple(copies["over_classes"]), tuple(copies["left_out"])
            ),
            resumed=sum(rows.values()),
            labels=dataset.made["labels"],
            missing=dataset.made["missing"],
        )


def _measured(splits: Mapping[str, Split]) -> tuple[dict[str, int], int, int]:
    """The rows of each split, and the number of all shards and their size in bytes."""
    shards = [shard for split in splits.values() for shard in split.objects]
    rows = {name: split.rows for name, split in splits.items()}
    return rows, len(shards), sum(shard.size for shard in shards)
