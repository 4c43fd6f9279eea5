"""Arrays of images -> augmented, standardized, padded batches of tensors (tf.data)."""

import atexit
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.dataset.pipeline.preprocessing import Preprocessing
from trainer.dataset.reading.reader import Reader
from trainer.machine.memory import keep_freed_memory

_AHEAD = 2
_PARALLEL = 4
"""Batches that are prepared at the same time."""


class TensorBatch(NamedTuple):
    """One batch of a stream.

    Attributes:
        number: in training the step, int64 (); in evaluation the rows, int64 (n,).
        images: float32 (n, H, W, C), preprocessed.
        labels: int32 (n,).
        weights: float32 (n,): 1, or 0 for padding.
    """

    number: tf.Tensor
    images: tf.Tensor
    labels: tf.Tensor
    weights: tf.Tensor


class BatchStream(Iterator[TensorBatch]):
    """The batches of one rank: owns the reader's iteration, tf.data over it, its error and its end.

    What the reader raised is raised as it was; tf.data, which would wrap it into an error of its own with a
    traceback in its text, sees an end. Of one reader, one stream at a time. Close a stream that is not read
    to its end, or use it as a context manager.

    Attributes:
        pipeline: the tf.data.Dataset that it reads.
    """

    def __init__(
        self,
        reader: Reader,
        arrays: Callable[[], Iterator[tuple[Any, ...]]],
        signature: tuple[Any, ...],
        finish: Callable[..., tuple[Any, ...]],
        *,
        parallel: bool,
    ) -> None:
        """
        Args:
            reader: closing the stream stops it, whatever it waits for.
            arrays: makes the iterator over the reader's batches; called in one of tf.data's threads.
            signature: of the elements of `arrays`, as `tf.data` takes it.
            finish: such an element -> the fields of a `TensorBatch`, as a graph.
            parallel: whether several batches are finished at the same time. Under op determinism tf.data
                takes that back, and logs an error with each iterator (`node_def_util.cc`).
        """
        errors: list[Exception] = []

        def guarded() -> Iterator[tuple[Any, ...]]:
            try:
                yield from arrays()
            except Exception as error:
                errors.append(error)

        batches = tf.data.Dataset.from_generator(guarded, output_signature=signature)
        finish = tf.autograph.experimental.do_not_convert(finish)
        if parallel:
            batches = batches.map(finish, num_parallel_calls=_PARALLEL, deterministic=True)
        else:
            batches = batches.map(finish)
        batches = batches.prefetch(_AHEAD)
        # The thread that tunes would hold up the end of an iterator for seconds.
        options = tf.data.Options()
        options.autotune.enabled = False
        self._reader = reader
        self._errors = errors
        self.pipeline = batches.with_options(options)
        self._iterator = iter(self.pipeline)
        keep_freed_memory()
        _open.add(self)

    def __next__(self) -> TensorBatch:
        element = next(self._iterator, None)
        if element is not None:
            return TensorBatch(*element)
        if self._errors:
            raise self._errors.pop()
        raise StopIteration

    def close(self) -> None:
        """Ends the reader and tf.data. Nothing comes afterwards."""
        if self._iterator is _ENDED:
            return
        iterator, self._iterator = self._iterator, _ENDED
        # Read to its end, so that none of tf.data's threads is in our Python when the iterator is deleted.
        while True:
            self._reader.stop()
            if next(iterator, None) is None:
                return

    def __enter__(self) -> "BatchStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_ENDED: Iterator[Any] = iter(())
_open: weakref.WeakSet[BatchStream] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    # tf.data calls the reader's Python from threads of its own. Once the interpreter takes itself apart
    # these wait for ever, and an iterator that is then deleted waits for them.
    for stream in tuple(_open):
        stream.close()


def training_stream(
    reader: Reader,
    preprocessing: Preprocessing,
    seed: int,
    start_step: int,
    steps_per_epoch: int,
    pad_to: int,
    *,
    steps: Iterable[int] | None = None,
    parallel: bool = True,
    group: int | None = None,
) -> BatchStream:
    """A rank's batches from `start_step` on, without end; or those of `steps` alone.

    Each of `pad_to` rows: a rank with fewer repeats its own in turn, with weight 0. With `group`, which
    divides the rank's rows, `group` rows are preprocessed at a time.
    """
    height, width, channels = preprocessing.output_shape(reader.dataset.image_shape)
    count = reader.batch_rows
    augmentation = preprocessing.augmentation

    def arrays() -> Iterator[tuple[Any, ...]]:
        batches = reader.batches(start_step) if steps is None else reader.batches_at(steps)
        for step, rows, images, labels in batches:
            epoch = step // steps_per_epoch
            yield step, images, labels, augmentation.draw(seed, epoch, rows, height, width)

    def finish(step: Any, images: Any, labels: Any, drawn: dict[str, Any]) -> tuple[Any, ...]:
        images = preprocessing.in_groups(images, group, **drawn)
        if pad_to != count:
            places = np.arange(pad_to) % count
            images, labels = tf.gather(images, places), tf.gather(labels, places)
        weights = (np.arange(pad_to) < count).astype(np.float32)
        return step, tf.ensure_shape(images, (pad_to, height, width, channels)), labels, tf.constant(weights)

    signature = (
        tf.TensorSpec((), tf.int64),
        tf.TensorSpec((count, *reader.dataset.image_shape), tf.uint8),
        tf.TensorSpec((count,), tf.int32),
        {name: tf.TensorSpec((count, *shape), tf.float32) for name, shape in augmentation.shapes.items()},
    )
    return BatchStream(reader, arrays, signature, finish, parallel=parallel)


def evaluation_stream(
    reader: Reader,
    rows: range,
    batch_size: int,
    preprocessing: Preprocessing,
    *,
    parallel: bool = True,
    group: int | None = None,
) -> BatchStream:
    """Every row of `rows` once, in order, without augmentation.

    Each of `batch_size` rows: the last batch repeats its own, with weight 0. With `group`, which divides
    `batch_size`, `group` rows are preprocessed at a time, and a last group repeats its own.
    """
    shape = preprocessing.output_shape(reader.dataset.image_shape)

    def arrays() -> Iterator[tuple[Any, ...]]:
        for batch in reader.batches_of(rows, batch_size):
            count = len(batch.rows)
            if count == batch_size:
                yield batch.rows, batch.images, batch.labels, np.ones(batch_size, np.float32)
            else:
                places = _repeated(count, batch_size, group or batch_size)
                weights = (np.arange(batch_size) < count).astype(np.float32)
                yield batch.rows[places], batch.images[places], batch.labels[places], weights

    def finish(rows: Any, images: Any, labels: Any, weights: Any) -> tuple[Any, ...]:
        images = preprocessing.in_groups(images, group)
        return rows, tf.ensure_shape(images, (batch_size, *shape)), labels, weights

    signature = (
        tf.TensorSpec((batch_size,), tf.int64),
        tf.TensorSpec((batch_size, *reader.dataset.image_shape), tf.uint8),
        tf.TensorSpec((batch_size,), tf.int32),
        tf.TensorSpec((batch_size,), tf.float32),
    )
    return BatchStream(reader, arrays, signature, finish, parallel=parallel)


def _repeated(count: int, size: int, group: int) -> NDArray[np.int64]:
    """(size,): which of `count` rows fill it. Each group of places repeats its own rows, and one that has
    none those of the first group."""
    places = np.arange(size)
    starts = places // group * group
    starts[starts >= count] = 0
    return starts + places % group % np.minimum(group, count - starts)
