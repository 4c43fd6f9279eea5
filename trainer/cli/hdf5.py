"""`trainer index`."""

from typing import Annotated

import typer

from trainer import interrupts
from trainer.cli.answers import print_json, print_next
from trainer.cli.arguments import ClassNames, ImageShape, Json, SplitDatasets, parse_shape
from trainer.errors import ConfigError


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
    from trainer.cli.pages import datasets as pages
    from trainer.cli.pages.next_commands import after_dataset
    from trainer.observability.log import say
    from trainer.output.progress import progress
    from trainer.preparation.hdf5.index_hdf5 import index_hdf5, is_prepared
    from trainer.preparation.hdf5.parts import DatasetNames, Pair
    from trainer.preparation.reindex import reindex

    splits = {"train": train, "validation": validation, "test": test}
    pairs = tuple(Pair(split, *text.split(",")) for split, texts in splits.items() for text in texts or ())
    if pairs and (images or labels):
        raise ConfigError("--images, --labels: the splits have datasets of their own", "Leave them out")
    shape = parse_shape(image_shape) if image_shape else None
    names = DatasetNames(images, labels, classes, shape, pairs)
    if is_prepared(url):
        if target or names != DatasetNames():
            raise ConfigError(
                f"{url}: a dataset of `trainer prepare` is indexed in place", "Pass its URL alone"
            )
        with progress(say, "shards read") as report, interrupts.unwinding():
            copied = reindex(url, progress=report)
        if json:
            print_json(copied)
        else:
            pages.print_reindexed(copied)
        return
    with progress(say, "MiB read") as report, interrupts.unwinding():
        indexed = index_hdf5(url, target, names, progress=report)
    if json:
        print_json(indexed)
    else:
        pages.print_indexed(indexed)
        print_next(after_dataset(indexed.url, len(indexed.classes)))
