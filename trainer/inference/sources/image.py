"""One image of the input."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trainer.images.decoding import Decoded


@dataclass(frozen=True)
class Image:
    """Its key in the input, and its size in bytes and etag when it was listed, where the input has these.

    `problem` says why it cannot be classified, where the listing shows that already; else it is empty.
    """

    key: str
    size: int = 0
    etag: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Task:
    """An image of a part."""

    part: int
    image: Image

    @property
    def key(self) -> str:
        return self.image.key

    @property
    def crop(self) -> None:
        """None: all of the image is used."""


class ImageSource(Protocol):
    """Images to classify. Iterate over it for those that are there now, in an order of its own.

    Attributes:
        url: where they are.
        bound: what else the predictions depend on, as plain values.
        ignored: after an iteration, rule -> the number of objects that it skipped.
    """

    @property
    def url(self) -> str: ...

    @property
    def bound(self) -> dict[str, str]: ...

    @property
    def ignored(self) -> dict[str, int]: ...

    def __iter__(self) -> Iterator[Image]: ...

    def read(self, tasks: Iterable[Task]) -> Iterator[Decoded[Task]]:
        """The images of these in their order: RGB of the shape of the run's prepared images, or a problem.
        Raises what the store raises for all of them."""
        ...

    def show(self, key: str) -> NDArray[np.uint8] | None:
        """One image as it is, RGB (H, W, 3), None where it cannot be read."""
        ...

    def name(self, key: str) -> str:
        """What people know an image by: its file where that is known, else its key. Raises what the store
        raises."""
        ...

    def label(self, key: str) -> str | None:
        """The class of an image, where the source knows it."""
        ...
