"""What happens to images between the dataset and the network."""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from trainer.config.types import Standardize
from trainer.dataset.dataset import Dataset
from trainer.dataset.pipeline.augmentation import Augmentation
from trainer.dataset.pipeline.image_changes import CHANGES
from trainer.dataset.pipeline.standardize import STANDARDIZATIONS, ChannelStatistics

NO_AUGMENTATION = Augmentation()


@dataclass(frozen=True)
class Preprocessing:
    """What happens to images between the dataset and the network.

    `size` (height, width) to resize to, bilinearly, or None. `mean` and `std` for each channel, in 0..255,
    are for `feature_wise`. Called with uint8 (n, H, W, C) it gives float32 (n, height, width, C); as in
    training but without augmentation.
    """

    standardize: Standardize = "x/127.5-1"
    augmentation: Augmentation = NO_AUGMENTATION
    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.standardize == "feature_wise" and not (self.mean and self.std):
            raise ValueError("expected mean and std for feature_wise, received none")

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        standardize: Standardize,
        augmentation: Augmentation = NO_AUGMENTATION,
        image_size: int | tuple[int, int] | None = None,
    ) -> "Preprocessing":
        """Makes it for a dataset: `feature_wise` uses mean and deviation of its training images."""
        train = dataset.split("train")
        size = (image_size, image_size) if isinstance(image_size, int) else image_size
        if size == dataset.image_shape[:2]:
            size = None
        return cls(standardize, augmentation, size, train.mean, train.std)

    def output_shape(self, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """(H, W, C) of what goes in -> of what comes out."""
        return (*(self.size or image_shape[:2]), image_shape[2])

    def __call__(self, images: Any, transforms: Any = None, **drawn: Any) -> tf.Tensor:
        """`transforms` and `drawn` are what `Augmentation.draw` gives for the size that comes out."""
        images = self.changed(images, **drawn if transforms is None else {**drawn, "transforms": transforms})
        return STANDARDIZATIONS[self.standardize].apply(images, ChannelStatistics(self.mean, self.std))

    def changed(self, images: Any, **drawn: Any) -> tf.Tensor:
        """The same before it is standardized, in 0..255."""
        images = tf.cast(images, tf.float32)
        if self.size is not None:
            # Like Pillow: with antialiasing when images get smaller.
            images = tf.image.resize(images, self.size, antialias=True)
        for name, change in CHANGES.items():
            if name in drawn:
                images = change(images, drawn[name])
        return images

    def in_groups(self, images: Any, rows: int | None, **drawn: Any) -> tf.Tensor:
        """The same as calling it, with `rows` of the images at a time: what an operation computes of an image
        may depend on how many it is given. None: all at once."""
        if rows is None:
            return self(images, **drawn)
        parts = {
            name: tf.reshape(value, (-1, rows, *value.shape[1:]))
            for name, value in {"images": images, **drawn}.items()
        }
        found = tf.map_fn(lambda part: self(**part), parts, fn_output_signature=tf.float32)
        return tf.reshape(found, (-1, *self.output_shape(tuple(images.shape[1:]))))
