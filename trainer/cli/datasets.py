"""`trainer prepare` and `inspect`."""

from typing import Annotated

import typer

from trainer.cli.answers import print_json, print_next
from trainer.cli.arguments import (
    ClassNames,
    Encoding,
    ImageShape,
    Json,
    OnBad,
    Resize,
    check_classes,
    check_hdf5_datasets,
    check_image_size,
    check_shard_size,
    check_split_folders,
    finite,
    parse_classes,
    parse_hdf5_datasets,
    parse_shape,
    parse_sides,
    parse_splits,
)


def prepare(
    source: Annotated[
        str,
        typer.Argument(
            help="Images: SOURCE/CLASS/*.jpg, SOURCE/{train,test}/CLASS/*.jpg, or see --labels. Also an HDF5 "
            "file, or a folder of some, which are converted."
        ),
    ],
    url: Annotated[str, typer.Argument(help="URL of the new dataset: s3://bucket/prefix or a folder.")],
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="KIND|FILE",
            help="folders, list, prefix, suffix, a dataset's name such as stanford-cars (docs/datasets.md), "
            "or the file of a label list. Default: detected from the source.",
        ),
    ] = None,
    image_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The column of a label table with the images' names. Default: the one that names them.",
        ),
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The column with their labels. Default: label, class or the like, or the only other.",
        ),
    ] = None,
    splits: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER=SPLIT,...",
            callback=check_split_folders,
            help="Folders of the train, validation and test splits. Default: by their names, such as train, "
            "Training or seg_train.",
        ),
    ] = None,
    one_class: Annotated[
        bool, typer.Option("--one-class", help="Allow a dataset with a single class.")
    ] = False,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            callback=check_classes,
            help='Take these classes alone, numbered in this order; "a, b" in quotes is one. Default: all.',
        ),
    ] = None,
    crop: Annotated[
        bool, typer.Option("--crop", help="Crop each image to its bounding box (stanford-cars, uecfood).")
    ] = False,
    image_size: Annotated[
        str | None,
        typer.Option(
            metavar="N|HxW",
            callback=check_image_size,
            help="Resize images to this height and width, in pixels: 224, or 224x320. Default: "
            "keep their size; photographs of different sizes become a square of up to 224.",
        ),
    ] = None,
    resize: Annotated[
        Resize,
        typer.Option(
            help="How to resize: squash stretches; crop scales the short side and center-crops; "
            "pad scales the long side and pads with black."
        ),
    ] = "squash",
    validation: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            callback=finite,
            help="Fraction of the images for validation, if SOURCE has no folder for it. Default: 0.15.",
        ),
    ] = None,
    test: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            callback=finite,
            help="Fraction of the images for testing, if SOURCE has no folder for it. Default: 0.15; none "
            "if --validation is set or SOURCE has one for validation.",
        ),
    ] = None,
    max_per_class: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Use at most this many images per class, chosen before the split. Default: all of them.",
        ),
    ] = None,
    first: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Take N images of each split, of all classes, for a first try. Default: all of them.",
            metavar="N",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Seed of the split and of the order of rows.")
    ] = 0,
    on_bad: Annotated[OnBad, typer.Option(help="What to do with corrupt or unreadable images.")] = "fail",
    max_bad: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            callback=finite,
            help="With --on-bad skip: fail if more than this fraction of the images is bad.",
        ),
    ] = 0.1,
    encoding: Annotated[
        Encoding,
        typer.Option(help="Store raw pixels, or JPEG (about one seventh of the size)."),
    ] = "raw",
    shard_size: Annotated[
        str, typer.Option(callback=check_shard_size, help="Target size of a shard, such as 64MiB.")
    ] = "64MiB",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing dataset.")] = False,
    hdf5: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SPLIT=]IMAGES,LABELS",
            callback=check_hdf5_datasets,
            help="HDF5 datasets of a split, each [FILE:]NAME. Repeatable. Default: the usual names.",
        ),
    ] = None,
    class_names: ClassNames = None,
    image_shape: ImageShape = None,
    json: Json = False,
) -> None:
    """Write images as HDF5 shards to object storage, or resume an interrupted run of this command."""
    from trainer.api import dataset_functions
    from trainer.cli.pages import datasets as pages
    from trainer.cli.pages.next_commands import after_dataset
    from trainer.preparation.bad_images import BadImagesError, BadImagesReport

    try:
        prepared = dataset_functions.prepare(
            source,
            url,
            labels=labels,
            image_column=image_column,
            label_column=label_column,
            splits=parse_splits(splits) if splits else None,
            one_class=one_class,
            classes=parse_classes(classes) if classes else None,
            crop=crop,
            image_size=parse_sides(image_size) if image_size else None,
            resize=resize,
            validation=validation,
            test=test,
            max_per_class=max_per_class,
            first=first,
            seed=seed,
            on_bad=on_bad,
            max_bad=max_bad,
            encoding=encoding,
            shard_size=shard_size,
            overwrite=overwrite,
            hdf5=[parse_hdf5_datasets(text) for text in hdf5 or ()],
            class_names=class_names,
            image_shape=parse_shape(image_shape) if image_shape else None,
        )
    except BadImagesError as error:
        if json:
            print_json(BadImagesReport(bad=list(error.problems)))
        raise
    if json:
        print_json(prepared)
    else:
        pages.print_prepared(prepared)
        print_next(after_dataset(prepared.url, len(prepared.classes)))


def inspect(
    url: Annotated[str, typer.Argument(help="URL of a dataset.")],
    read: Annotated[
        bool,
        typer.Option(
            "--read", help="Read every image: look for duplicates and blank ones, and measure the values."
        ),
    ] = False,
    sheet: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write a PNG with some images of each class. Default: none."),
    ] = None,
    classes: Annotated[
        bool, typer.Option("--classes", help="List every class, even if there are more than 20.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the contents of a dataset, and anything suspicious in it."""
    from trainer.api import dataset_functions
    from trainer.cli.pages import datasets as pages
    from trainer.cli.pages.next_commands import after_dataset
    from trainer.observability.log import say

    if sheet:
        from trainer.dataset.inspection.contact_sheet import write_contact_sheet

        say(f"contact sheet: {write_contact_sheet(url, sheet)}")
    description = dataset_functions.inspect(url, read=read).document
    if json:
        print_json(description)
    else:
        pages.print_inspected(description, every_class=classes)
        print_next(after_dataset(description["url"], len(description["classes"])))
