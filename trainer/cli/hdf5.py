"""`trainer index`."""

from typing import Annotated

import typer

from trainer.cli.answers import print_json, print_next
from trainer.cli.arguments import ClassNames, ImageShape, Json, SplitDatasets, parse_shape


def index(
    url: Annotated[
        str,
        typer.Argument(help="An HDF5 file, a prefix with several, an index, or a copied dataset."),
    ],
    target: Annotated[
        str | None,
        typer.Argument(help="URL of the index. Default: NAME.index beside a file, or the prefix."),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="HDF5 dataset with the images. Default: the usual names."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="[FILE:]NAME",
            help="HDF5 dataset with the labels; FILE:NAME if in another file. Default: the usual names.",
        ),
    ] = None,
    train: SplitDatasets = None,
    validation: SplitDatasets = None,
    test: SplitDatasets = None,
    classes: ClassNames = None,
    image_shape: ImageShape = None,
    json: Json = False,
) -> None:
    """Index HDF5 files in place, to train from them without copying; or a dataset that was copied.

    Every byte is read once, for checksums and for the range, mean and deviation of the values. Requirements:
    docs/datasets.md.
    """
    from trainer.api import dataset_functions
    from trainer.cli.pages import datasets as pages
    from trainer.cli.pages.next_commands import after_dataset
    from trainer.preparation.reindex import Reindexed

    indexed = dataset_functions.index(
        url,
        target,
        images=images,
        labels=labels,
        train=_pairs(train),
        validation=_pairs(validation),
        test=_pairs(test),
        classes=classes,
        image_shape=parse_shape(image_shape) if image_shape else None,
    )
    if json:
        print_json(indexed)
    elif isinstance(indexed, Reindexed):
        pages.print_reindexed(indexed)
    else:
        pages.print_indexed(indexed)
        print_next(after_dataset(indexed.url, len(indexed.classes)))


def _pairs(texts: list[str] | None) -> list[tuple[str, str]]:
    """(images, labels) of each IMAGES,LABELS."""
    return [(images, labels) for images, labels in (text.split(",") for text in texts or ())]
