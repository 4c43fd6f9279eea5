"""Changes of images by which the sensitivity of a network is measured: the same for every image, or drawn at
random within ranges, by a seed and the row."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.config.load import validate
from trainer.config.sections import AugmentSection
from trainer.dataset.pipeline.augmentation import Augmentation, Draws, affine
from trainer.errors import ConfigError, shortened

Rows = NDArray[np.int64]

SHIFT = 0.1
"""Fraction of the width or height of fixed shifts; the edge is repeated, as with Keras's
`fill_mode="nearest"`."""
TURNS = (90, 180, 270)
_ROUNDING = 1e-6
"""What the cosine of 90 degrees is above 0, and more: whole pixels stay whole."""


@dataclass(frozen=True)
class Change:
    """One way to change images.

    Attributes:
        name: what is done, in words.
        draw: rows (n,), height and width of the images, both in pixels -> what `Preprocessing` is given.
    """

    name: str
    draw: Callable[[Rows, int, int], Draws]


def turned(degrees: int) -> Change:
    """Rotates by 90, 180 or 270 degrees, counterclockwise, as `numpy.rot90`. 90 and 270 are for squares."""
    return Change(f"turned by {degrees} degrees", _fixed(angle=np.deg2rad(degrees)))


def drawn(augmentation: Augmentation, seed: int) -> Change:
    """Changes at random, as `data.augment` does in training."""
    return Change(
        describe(augmentation), lambda rows, height, width: augmentation.draw(seed, 0, rows, height, width)
    )


def standard_changes(shape: tuple[int, int, int], seed: int) -> list[Change]:
    """The changes of images of this shape (H, W, C) that `--sensitivity` measures: fixed ones, and those that
    the source documents draw at random."""
    square = shape[0] == shape[1]
    return [
        *(turned(degrees) for degrees in TURNS if square or degrees == 180),
        Change("mirrored left to right", _fixed(wide=-1)),
        Change("mirrored top to bottom", _fixed(tall=-1)),
        Change("moved right by 10 %", _fixed(right=-SHIFT)),
        Change("moved left by 10 %", _fixed(right=SHIFT)),
        Change("moved down by 10 %", _fixed(down=-SHIFT)),
        Change("moved up by 10 %", _fixed(down=SHIFT)),
        *(drawn(augmentation, seed) for augmentation in RANDOM),
    ]


RANDOM = (
    Augmentation(rotate=45),
    Augmentation(rotate=180),
    Augmentation(shift=(0.1, 0.0)),
    Augmentation(shift=(0.3, 0.0)),
    Augmentation(shift=(0.0, 0.1)),
    Augmentation(shift=(0.0, 0.4)),
    Augmentation(flip="both"),
    Augmentation(rotate=45, shift=(0.1, 0.1)),
    Augmentation(rotate=45, shift=(0.1, 0.1), flip="both"),
    Augmentation(rotate=180, shift=(0.3, 0.4), flip="both"),
)
"""Ranges of the food document's table of sensitivity (its lines 928 to 933): each alone, and its rows."""


def _fixed(
    angle: float = 0, tall: float = 1, wide: float = 1, down: float = 0, right: float = 0
) -> Callable[[Rows, int, int], Draws]:
    """The same for every image, by whole pixels. `down`, `right`: fractions, as in `affine`."""

    def draw(rows: Rows, height: int, width: int) -> Draws:
        def each(value: float) -> NDArray[np.float64]:
            return np.full(len(rows), value, np.float64)

        transforms = affine(
            height,
            width,
            angle=each(angle),
            shear=each(0),
            tall=each(tall),
            wide=each(wide),
            down=each(round(down * height)),
            right=each(round(right * width)),
        )
        transforms[np.abs(transforms) < _ROUNDING] = 0
        return {"transforms": transforms}

    return draw


_FLIPS = {
    "horizontal": "mirrored left to right at random",
    "vertical": "mirrored top to bottom at random",
    "both": "mirrored both ways at random",
}


def describe(augmentation: Augmentation) -> str:
    """What is drawn at random, in words.

    >>> describe(Augmentation(rotate=45, shift=(0.1, 0.4), flip="both"))
    'turned by up to 45 degrees, moved by up to 10 % down or up, 40 % sideways, mirrored both ways at random'
    """
    return ", ".join(_parts(augmentation)) or "unchanged"


def _parts(of: Augmentation) -> Iterator[str]:
    if of.rotate:
        yield f"turned by up to {of.rotate:g} degrees"
    height, width = of.shifts
    moves = [(height, "down or up"), (width, "sideways")]
    texts = [f"{100 * fraction:g} % {where}" for fraction, where in moves if fraction]
    if texts:
        yield f"moved by up to {', '.join(texts)}"
    if of.flip != "none":
        yield _FLIPS[of.flip]
    if of.zoom:
        yield f"zoomed by up to {100 * of.zoom:g} %"
    if of.shear:
        yield f"sheared by up to {of.shear:g} degrees"
    for name in ("brightness", "contrast"):
        if value := getattr(of, name):
            yield f"{name} changed by up to {100 * value:g} %"
    if of.channel_shift:
        yield f"channels shifted by up to {of.channel_shift:g}"
    if of.elastic:
        yield f"deformed by up to {100 * of.elastic:g} %"


def parse_change(text: str, seed: int) -> Change:
    """A change such as "turn=90" or "rotate=45,height=0.1,width=0.4,flip=both": the keys of `data.augment`,
    with height and width for both parts of shift. Raises ConfigError."""
    pairs = [part.partition("=")[::2] for part in text.split(",")]
    values: dict[str, Any] = {key.strip(): value.strip() for key, value in pairs}
    where = f"--change {shortened(text)}"
    if len(values) < len(pairs) or not all(values.values()):
        raise ConfigError(f"{where}: expected KEY=VALUE,…, each key once", _EXAMPLE)
    if "turn" in values:
        if len(values) > 1 or values["turn"] not in map(str, TURNS):
            raise ConfigError(f"{where}: expected turn=90, 180 or 270 alone", _EXAMPLE)
        return turned(int(values["turn"]))
    sides = {side: values.pop(side) for side in ("height", "width") if side in values}
    if sides:
        if "shift" in values:
            raise ConfigError(f"{where}: expected shift, or height and width", _EXAMPLE)
        values["shift"] = (sides.get("height", "0"), sides.get("width", "0"))
    return change_of(values, seed, where)


_EXAMPLE = "Such as --change rotate=45,height=0.1,width=0.1,flip=both, or --change turn=90"


def change_of(values: Mapping[str, Any], seed: int, where: str = "changes") -> Change:
    """The change that keys of `data.augment` describe. Raises ConfigError."""
    section = validate(AugmentSection, values, where, remedy=_EXAMPLE)
    return drawn(Augmentation(**section.model_dump()), seed)


def check_distinct(changes: Sequence[Change]) -> None:
    """Raises ConfigError where one is there twice."""
    names = [change.name for change in changes]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ConfigError(f"the change {twice!r} is there twice", "Remove one of them")
