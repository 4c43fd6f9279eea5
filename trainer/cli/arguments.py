"""Arguments and options that several commands have, and their checks."""

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from trainer.output.units import parse_size

if TYPE_CHECKING:
    from trainer.config.run_sections import PriceSection

Config = Annotated[
    Path | None, typer.Option("--config", "-f", help="The configuration, a YAML file. Default: none.")
]


Recipe = Annotated[
    str | None,
    typer.Option(
        help="Recipe to start from; see `trainer recipes`. Default: the one in the file, or else auto, which "
        "is chosen by the data and the machine."
    ),
]


Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Set one value, such as train.epochs=3. Repeatable. Default: none."),
]


Run = Annotated[
    str, typer.Argument(help="The run: its folder, its URL, or the name of the release that trains it.")
]


Release = Annotated[str, typer.Argument(help="Name of the Helm release.")]


Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Namespace of the release. Default: that of the current context."),
]


OnBad = Literal["fail", "skip"]


Resize = Literal["squash", "crop", "pad"]


Encoding = Literal["raw", "jpeg"]


Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def parse_price(text: str) -> "PriceSection":
    """The prices in "2.5", of a GPU hour, or in "gpu_hour=2.5,core_hour=0.05,currency=EUR"; a ValueError
    otherwise."""
    from trainer.config.run_sections import PriceSection

    pairs = [part.partition("=")[::2] for part in (text if "=" in text else f"gpu_hour={text}").split(",")]
    values = {key.strip(): value.strip() for key, value in pairs}
    if len(values) < len(pairs):
        raise ValueError
    return PriceSection.model_validate(
        {key: value if key == "currency" else float(value) for key, value in values.items()}
    )


def price_overrides(text: str) -> list[str]:
    """The same as `--set` assignments."""
    return [f"run.price.{key}={value}" for key, value in parse_price(text).model_dump().items()]


def check_price(text: str | None) -> str | None:
    try:
        if text is not None:
            parse_price(text)
    except ValueError:
        raise typer.BadParameter(
            "expected the price of a GPU hour, such as 2.5, or gpu_hour=2.5,core_hour=0.05,currency=EUR, "
            f"received {text!r}"
        ) from None
    return text


Price = Annotated[
    str | None,
    typer.Option(
        metavar="PRICE",
        callback=check_price,
        help='The price of a GPU hour, such as 2.5, or more: "gpu_hour=2, core_hour=0.05, currency=EUR". '
        "Default: run.price.",
    ),
]


MAX_SIDE_PIXELS = 8192


MIN_SHARD_BYTES, MAX_SHARD_BYTES = 1 << 20, 16 << 30


def finite(value: float | None) -> float | None:
    """Refuses NaN, which passes typer's bounds."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"expected a finite number, received {value}")
    return value


def parse_sides(text: str) -> tuple[int, int]:
    """(height, width) of "224" or "224x320"; a ValueError otherwise."""
    sides = [int(side) if side.isdecimal() and len(side) < 6 else 0 for side in text.split("x")]
    if not 1 <= len(sides) <= 2 or not all(1 <= side <= MAX_SIDE_PIXELS for side in sides):
        raise ValueError
    return sides[0], sides[-1]


def check_image_size(text: str | None) -> str | None:
    try:
        if text is not None:
            parse_sides(text)
    except ValueError:
        raise typer.BadParameter(
            f"expected a side from 1 to {MAX_SIDE_PIXELS} pixels, or HEIGHTxWIDTH, received {text!r}"
        ) from None
    return text


def parse_shape(text: str) -> tuple[int, int, int]:
    """(height, width, channels) of "64x64x3", (channels, height, width) of "3x64x64"; a ValueError
    otherwise."""
    sides, _, last = text.rpartition("x")
    first, _, others = text.partition("x")
    if text.count("x") == 2 and last in ("1", "3"):
        return *parse_sides(sides), int(last)
    if text.count("x") == 2 and first in ("1", "3"):
        return int(first), *parse_sides(others)
    raise ValueError


def check_image_shape(text: str | None) -> str | None:
    try:
        if text is not None:
            parse_shape(text)
    except ValueError:
        raise typer.BadParameter(
            f"expected HEIGHTxWIDTHxCHANNELS, such as 64x64x3, or 3x64x64, received {text!r}"
        ) from None
    return text


def check_class_names(text: str | None) -> str | None:
    if text is not None and not text.strip():
        raise typer.BadParameter("expected the name of a dataset, or none, received ''")
    return text


def parse_splits(text: str) -> dict[str, str]:
    """Folder -> split of "Training=train,Testing=test"; a ValueError otherwise."""
    pairs = [pair.partition("=")[::2] for pair in text.split(",")]
    folders = {folder.strip("/"): split for folder, split in pairs if folder.strip("/")}
    splits = sorted(folders.values())
    if len(folders) < len(pairs) or "train" not in splits or len(set(splits)) < len(splits):
        raise ValueError
    if not set(splits) <= {"train", "validation", "test"}:
        raise ValueError
    return folders


def check_split_folders(text: str | None) -> str | None:
    try:
        if text is not None:
            parse_splits(text)
    except ValueError:
        raise typer.BadParameter(
            "expected FOLDER=SPLIT,… with one folder for train, and at most one for validation and test, "
            f"received {text!r}"
        ) from None
    return text


def check_pairs(texts: list[str] | None) -> list[str] | None:
    """Each is IMAGES,LABELS."""
    for text in texts or ():
        if text.count(",") != 1 or not all(part.strip() for part in text.split(",")):
            raise typer.BadParameter(f"expected IMAGES,LABELS, each [FILE:]NAME, received {text!r}")
    return texts


def parse_hdf5_datasets(text: str) -> tuple[str, str, str]:
    """(split, images, labels) of "train=X,Y"; the split is empty in "X,Y"."""
    split, equals, pair = text.partition("=")
    if not equals or split not in ("train", "validation", "test"):
        split, pair = "", text
    images, labels = pair.split(",")
    return split, images, labels


def check_hdf5_datasets(texts: list[str] | None) -> list[str] | None:
    """Each is [SPLIT=]IMAGES,LABELS."""
    check_pairs([text.partition("=")[2] or text for text in texts or ()])
    return texts


SplitDatasets = Annotated[
    list[str] | None,
    typer.Option(
        metavar="IMAGES,LABELS",
        callback=check_pairs,
        help="HDF5 datasets of this split, each [FILE:]NAME. Repeatable. Default: the usual names.",
    ),
]


ClassNames = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|none",
        callback=check_class_names,
        help="HDF5 dataset of the class names; none: call the classes by their numbers. Default: the usual "
        "names, if there.",
    ),
]


ImageShape = Annotated[
    str | None,
    typer.Option(
        metavar="HxWxC",
        callback=check_image_shape,
        help="The shape of an image, if a row of an HDF5 file is one long vector; CxHxW, if its channels "
        "follow each other. Default: that in the file.",
    ),
]


def parse_classes(text: str) -> tuple[str, ...]:
    """The names in "cat,dog", or in '"cat, small",dog'; a ValueError for an empty one."""
    names = tuple(name.strip() for name in next(csv.reader([text], skipinitialspace=True, strict=True), []))
    if not names or not all(names):
        raise ValueError
    return names


def check_classes(text: str | None) -> str | None:
    try:
        if text is not None:
            parse_classes(text)
    except (ValueError, csv.Error):
        raise typer.BadParameter(f"expected names with commas between them, received {text!r}") from None
    return text


def check_shard_size(text: str) -> str:
    try:
        size = parse_size(text)
    except ValueError:
        size = 0
    if not MIN_SHARD_BYTES <= size <= MAX_SHARD_BYTES:
        raise typer.BadParameter(f"expected a size from 1MiB to 16GiB, received {text!r}")
    return text
