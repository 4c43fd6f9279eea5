"""`trainer prepare`, `index` and `inspect`."""

from typing import Annotated

import typer

from trainer import interrupts
from trainer.cli.answers import print_json, print_next
from trainer.cli.arguments import (
    Encoding,
    Json,
    OnBad,
    Resize,
    check_image_shape,
    check_image_size,
    check_shard_size,
    check_split_folders,
    finite,
    parse_shape,
    parse_sides,
    parse_splits,
)
from trainer.errors import ConfigError
from trainer.output.units import parse_size


def prepare(
    source: Annotated[
        str,
        typer.Argument(help="Images: SOURCE/CLASS/*.jpg, SOURCE/{train,test}/CLASS/*.jpg, or see --labels."),
    ],
    url: Annotated[str, typer.Argument(help="Where the dataset goes: s3://bucket/prefix or a folder.")],
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="KIND|FILE",
            help="folders, list, prefix, suffix, stanford-cars, uecfood, cifar10 (docs/datasets.md), or the "
            "file of a label list. Default: what fits.",
        ),
    ] = None,
    splits: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER=SPLIT,...",
            callback=check_split_folders,
            help="Which folders are train, validation and test. Default: by their names, such as train, "
            "Training or seg_train.",
        ),
    ] = None,
    one_class: Annotated[bool, typer.Option("--one-class", help="Allow images of one class alone.")] = False,
    crop: Annotated[
        bool, typer.Option("--crop", help="Cut each image to its box (stanford-cars, uecfood).")
    ] = False,
    image_size: Annotated[
        str | None,
        typer.Option(
            metavar="N|HxW",
            callback=check_image_size,
            help="Give images this height and width, in pixels: 224, or 224x320. Default: as they are.",
        ),
    ] = None,
    resize: Annotated[
        Resize,
        typer.Option(
            help="How: stretch them; scale the short side and cut the centre out; or scale the long side and "
            "add black borders."
        ),
    ] = "squash",
    validation: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, callback=finite, help="Share of the images for validation. Default: a quarter."
        ),
    ] = None,
    test: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            callback=finite,
            help="Share of the images for testing, if SOURCE has no test folder. Default: none.",
        ),
    ] = None,
    max_per_class: Annotated[
        int | None,
        typer.Option(
            min=1, help="Take so many images of each class, before they are split. Default: all of them."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Seed of the split and of the order of rows.")
    ] = 0,
    on_bad: Annotated[
        OnBad, typer.Option(help="What to do with images that are damaged or cannot be read.")
    ] = "fail",
    max_bad: Annotated[
        float,
        typer.Option(min=0, max=1, callback=finite, help="Share of bad images above which skip fails too."),
    ] = 0.1,
    encoding: Annotated[
        Encoding,
        typer.Option(help="Rows are the pixels, or JPEG files of them, of about a seventh of the size."),
    ] = "raw",
    shard_size: Annotated[
        str, typer.Option(callback=check_shard_size, help="Size of a shard, such as 64MiB.")
    ] = "64MiB",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing dataset.")] = False,
    json: Json = False,
) -> None:
    """Write images as HDF5 shards into object storage, or continue where an interrupted start ended."""
    from trainer.cli.pages import datasets as pages
    from trainer.machine.cores import available_cores
    from trainer.observability.log import say
    from trainer.output.progress import progress
    from trainer.preparation.bad_images import BadImagesError, BadImagesReport
    from trainer.preparation.prepare import prepare as run

    try:
        with progress(say, "images prepared") as report, interrupts.unwinding():
            made = run(
                source,
                url,
                labels=labels,
                split_folders=parse_splits(splits) if splits else None,
                one_class=one_class,
                crop=crop,
                image_size=parse_sides(image_size) if image_size else None,
                resize=resize,
                validation=validation,
                test=test,
                max_per_class=max_per_class,
                seed=seed,
                on_bad=on_bad,
                max_bad=max_bad,
                encoding=encoding,
                shard_bytes=parse_size(shard_size),
                overwrite=overwrite,
                workers=available_cores(),
                progress=report,
            )
    except BadImagesError as error:
        if json:
            print_json(BadImagesReport(bad=list(error.problems)))
        raise
    if json:
        print_json(made)
    else:
        pages.print_prepared(made)
        print_next(pages.after_prepare(made))


def index(
    url: Annotated[
        str,
        typer.Argument(help="An HDF5 file, a prefix with several, an index, or a dataset that was copied."),
    ],
    target: Annotated[
        str | None,
        typer.Argument(help="Where the index goes. Default: NAME.index beside a file, or the prefix."),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The HDF5 dataset of the images. Default: the usual names."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="[FILE:]NAME",
            help="That of their labels, also in another file. Default: the usual names.",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="That of the names of the classes. Default: the usual ones, or none."
        ),
    ] = None,
    image_shape: Annotated[
        str | None,
        typer.Option(
            metavar="HxWxC",
            callback=check_image_shape,
            help="The shape of an image, if a row is one long vector. Default: that in the file.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Index HDF5 files to train from them where they lie, or a dataset that was copied.

    Each byte is read once: for checksums, the range of the values, their mean and deviation. What a file must
    be like: docs/datasets.md.
    """
    from trainer.cli.pages import datasets as pages
    from trainer.observability.log import say
    from trainer.output.progress import progress
    from trainer.preparation.hdf5.index_hdf5 import index_hdf5, is_prepared
    from trainer.preparation.hdf5.parts import DatasetNames
    from trainer.preparation.reindex import reindex

    named = DatasetNames(images, labels, classes, parse_shape(image_shape) if image_shape else None)
    if is_prepared(url):
        if target or named != DatasetNames():
            raise ConfigError(
                f"{url}: a dataset of `trainer prepare` is indexed in its place", "Give its URL alone"
            )
        with progress(say, "shards read") as report, interrupts.unwinding():
            copied = reindex(url, progress=report)
        if json:
            print_json(copied)
        else:
            pages.print_reindexed(copied)
        return
    with progress(say, "MiB read") as report, interrupts.unwinding():
        made = index_hdf5(url, target, named, progress=report)
    if json:
        print_json(made)
    else:
        pages.print_indexed(made)
        print_next(pages.after_prepare(made))


def inspect(
    url: Annotated[str, typer.Argument(help="A dataset's URL.")],
    read: Annotated[
        bool, typer.Option("--read", help="Read every image: duplicates, blank images, values.")
    ] = False,
    sheet: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write a PNG of some images of each class. Default: none."),
    ] = None,
    classes: Annotated[
        bool, typer.Option("--classes", help="List every class, also of more than 20.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what a dataset holds, and what is suspicious about it."""
    from trainer.cli.pages import datasets as pages
    from trainer.dataset.inspection.describe import inspect as run
    from trainer.observability.log import say
    from trainer.output.progress import progress

    if sheet:
        from trainer.dataset.inspection.contact_sheet import write_contact_sheet

        say(f"contact sheet: {write_contact_sheet(url, sheet)}")
    with progress(say, "images read") as report, interrupts.unwinding():
        found = run(url, read=read, progress=report)
    if json:
        print_json(found)
    else:
        pages.print_inspected(found, every_class=classes)
