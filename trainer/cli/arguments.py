"""Arguments and options that several commands have, and their checks."""

import math
from pathlib import Path
from typing import Annotated, Literal

import typer

from trainer.output.units import parse_size

Config = Annotated[
    Path | None, typer.Option("--config", "-f", help="The configuration, a YAML file. Default: none.")
]


Recipe = Annotated[
    str | None,
    typer.Option(help="Recipe to start from; see `trainer recipes`. Default: the one in the file."),
]


Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Set one value, such as train.epochs=3. Repeatable. Default: none."),
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
    """(height, width, channels) of "64x64x3"; a ValueError otherwise."""
    sides, _, channels = text.rpartition("x")
    if sides.count("x") != 1 or channels not in ("1", "3"):
        raise ValueError
    return *parse_sides(sides), int(channels)


def check_image_shape(text: str | None) -> str | None:
    try:
        if text is not None:
            parse_shape(text)
    except ValueError:
        raise typer.BadParameter(
            f"expected HEIGHTxWIDTHxCHANNELS, such as 64x64x3, received {text!r}"
        ) from None
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


def check_shard_size(text: str) -> str:
    try:
        size = parse_size(text)
    except ValueError:
        size = 0
    if not MIN_SHARD_BYTES <= size <= MAX_SHARD_BYTES:
        raise typer.BadParameter(f"expected a size from 1MiB to 16GiB, received {text!r}")
    return text
