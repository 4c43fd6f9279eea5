"""Arrays of images -> augmented, standardised, padded batches of tensors (tf.data).

The only file of this folder that imports TensorFlow.
"""

import atexit
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from trainer.dataset.augmentation import Augmentation
from trainer.dataset.index import Dataset
from trainer.dataset.reader import Reader

Standardize = Literal["none", "x/255", "x/127.5-1", "per_image", "feature_wise", "caffe", "torch"]

Stream = Generator[tuple[tf.Tensor, ...], None, None]

NO_AUGMENTATION = Augmentation()

_AHEAD = 2
_PARALLEL = 4
"""Batches that are made ready at the same time."""


@dataclass(frozen=True)
class Preprocessing:
    """What is done to images between the dataset and the network.

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
            raise ValueError("Expected mean and std for feature_wise, received none")

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        standardize: Standardize,
        augmentation: Augmentation = NO_AUGMENTATION,
        image_size: int | tuple[int, int] | None = None,
    ) -> "Preprocessing":
        """For the images of a dataset: `feature_wise` takes mean and deviation of its training images."""
        train = dataset.split("train")
        size = (image_size, image_size) if isinstance(image_size, int) else image_size
        if size == dataset.image_shape[:2]:
            size = None
        return cls(standardize, augmentation, size, train.mean, train.std)

    def output_shape(self, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """(H, W, C) of what goes in -> of what comes out."""
        return (*(self.size or image_shape[:2]), image_shape[2])

    def __call__(self, images: Any, transforms: Any = None) -> tf.Tensor:
        """`transforms` are float32 (n, 8), of `Augmentation.transforms` for the size that comes out."""
        images = tf.cast(images, tf.float32)
        if self.size is not None:
            # As Pillow resizes: with antialiasing when images get smaller.
            images = tf.image.resize(images, self.size, antialias=True)
        if transforms is not None:
            images = tf.raw_ops.ImageProjectiveTransformV3(
                images=images,
                transforms=transforms,
                output_shape=tf.shape(images)[1:3],
                fill_value=0.0,
                interpolation="BILINEAR",
                fill_mode="NEAREST",
            )
        return _STANDARDIZE[self.standardize](images, self)


def training_batches(
    reader: Reader,
    preprocessing: Preprocessing,
    seed: int,
    start_step: int,
    steps_per_epoch: int,
    pad_to: int,
) -> tf.data.Dataset:
    """A rank's batches from `start_step` on, without end.

    Elements: step int64 (), images float32 (pad_to, H, W, C), labels int32 (pad_to,), weights float32
    (pad_to,). A rank with fewer rows repeats its own in turn, with weight 0.
    """
    height, width, channels = preprocessing.output_shape(reader.dataset.image_shape)
    count = reader.batch_rows
    augmentation = preprocessing.augmentation

    def arrays() -> Iterator[tuple[Any, ...]]:
        for step, rows, images, labels in reader.batches(start_step):
            epoch = step // steps_per_epoch
            yield step, images, labels, augmentation.transforms(seed, epoch, rows, height, width)

    def finish(step: Any, images: Any, labels: Any, transforms: Any) -> tuple[Any, ...]:
        images = preprocessing(images, transforms if augmentation.active else None)
        if pad_to != count:
            places = np.arange(pad_to) % count
            images, labels = tf.gather(images, places), tf.gather(labels, places)
        weights = (np.arange(pad_to) < count).astype(np.float32)
        return step, tf.ensure_shape(images, (pad_to, height, width, channels)), labels, tf.constant(weights)

    signature = (
        tf.TensorSpec((), tf.int64),
        tf.TensorSpec((count, *reader.dataset.image_shape), tf.uint8),
        tf.TensorSpec((count,), tf.int32),
        tf.TensorSpec((count, 8), tf.float32),
    )
    return _batches(reader, arrays, signature, finish)


def evaluation_batches(
    reader: Reader, rows: range, batch_size: int, preprocessing: Preprocessing
) -> tf.data.Dataset:
    """Every row of `rows` once, in order, without augmentation.

    Elements: rows int64 (batch_size,), images float32 (batch_size, H, W, C), labels int32 (batch_size,),
    weights float32 (batch_size,). The last batch repeats its rows, with weight 0.
    """
    shape = preprocessing.output_shape(reader.dataset.image_shape)

    def arrays() -> Iterator[tuple[Any, ...]]:
        for batch in reader.batches_of(rows, batch_size):
            count = len(batch.rows)
            weights = (np.arange(batch_size) < count).astype(np.float32)
            if count == batch_size:
                yield batch.rows, batch.images, batch.labels, weights
            else:
                places = np.arange(batch_size) % count
                yield batch.rows[places], batch.images[places], batch.labels[places], weights

    def finish(rows: Any, images: Any, labels: Any, weights: Any) -> tuple[Any, ...]:
        return rows, tf.ensure_shape(preprocessing(images), (batch_size, *shape)), labels, weights

    signature = (
        tf.TensorSpec((batch_size,), tf.int64),
        tf.TensorSpec((batch_size, *reader.dataset.image_shape), tf.uint8),
        tf.TensorSpec((batch_size,), tf.int32),
        tf.TensorSpec((batch_size,), tf.float32),
    )
    return _batches(reader, arrays, signature, finish)


def iterate(batches: tf.data.Dataset, reader: Reader) -> Stream:
    """The elements of one of the above; of one reader, one at a time.

    What the reader raised is raised as it was; tf.data, which would wrap it into an error of its own with a
    traceback in its text, sees an end. Closing it stops the reader, whatever that waits for.
    """
    stream = _iterate(batches, reader)
    _open[stream] = reader
    return stream


def _iterate(batches: tf.data.Dataset, reader: Reader) -> Stream:
    iterator = iter(batches)
    try:
        yield from iterator
    finally:
        # Read to its end, so that none of tf.data's threads is in our Python when the iterator is deleted.
        while True:
            reader.stop()
            if next(iterator, None) is None:
                break
    if reader.failure is not None:
        raise reader.failure


_open: weakref.WeakKeyDictionary[Stream, Reader] = weakref.WeakKeyDictionary()


@atexit.register
def _close_all() -> None:
    # tf.data calls the reader's Python from threads of its own. Once the interpreter takes itself apart
    # these wait for ever, and an iterator that is then deleted waits for them.
    for stream, reader in tuple(_open.items()):
        reader.stop()
        with suppress(ValueError):  # under way in another thread
            stream.close()


def _batches(
    reader: Reader,
    arrays: Callable[[], Iterator[tuple[Any, ...]]],
    signature: tuple[tf.TensorSpec, ...],
    finish: Callable[..., tuple[Any, ...]],
) -> tf.data.Dataset:
    def guarded() -> Iterator[tuple[Any, ...]]:
        reader.failure = None
        try:
            yield from arrays()
        except Exception as error:
            reader.failure = error

    batches = tf.data.Dataset.from_generator(guarded, output_signature=signature)
    finish = tf.autograph.experimental.do_not_convert(finish)
    batches = batches.map(finish, num_parallel_calls=_PARALLEL, deterministic=True).prefetch(_AHEAD)
    # The thread that tunes would hold up the end of an iterator for seconds.
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)


# The figures are those of keras.applications.imagenet_utils.preprocess_input.
_CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
_TORCH_MEAN = (0.485, 0.456, 0.406)
_TORCH_STD = (0.229, 0.224, 0.225)
_LEAST_STD = 1e-6

_STANDARDIZE: dict[str, Callable[[tf.Tensor, Preprocessing], tf.Tensor]] = {
    "none": lambda x, _: x,
    "x/255": lambda x, _: x / 255.0,
    "x/127.5-1": lambda x, _: x / 127.5 - 1.0,
    "per_image": lambda x, _: tf.image.per_image_standardization(x),
    "feature_wise": lambda x, p: (x - tf.constant(p.mean)) / (tf.constant(p.std) + _LEAST_STD),
    "caffe": lambda x, _: tf.reverse(x, [-1]) - tf.constant(_CAFFE_MEAN_BGR),
    "torch": lambda x, _: (x / 255.0 - tf.constant(_TORCH_MEAN)) / tf.constant(_TORCH_STD),
}
