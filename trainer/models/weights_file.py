"""A network's weights as the bytes of Keras's `.weights.h5`, and back."""

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras

from trainer.runs.layout import weights_file_name

HDF5_BYTES = 8 << 10
"""At most what a file has beside each array: its groups and names."""


def weights_file(model: keras.Model) -> bytes:
    """The content of a `.weights.h5` with the model's weights; the optimizer's are for checkpoints."""
    with _without_optimizer(model), tempfile.TemporaryDirectory() as folder:
        _check_room(model, folder)
        path = Path(folder) / weights_file_name("model")
        model.save_weights(path)
        return path.read_bytes()


def load_weights_file(model: keras.Model, content: bytes) -> None:
    """Puts the weights of such a file into a model of the same structure."""
    with _without_optimizer(model), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / weights_file_name("model")
        path.write_bytes(content)
        model.load_weights(path)


def _check_room(model: keras.Model, folder: str) -> None:
    """Raises OSError for a full disk, on which HDF5 would crash the process."""
    size = sum(math.prod(weight.shape) * weight.value.dtype.size for weight in model.weights)
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size + HDF5_BYTES * (len(model.weights) + 1))
        except OSError as error:
            error.filename = folder
            raise


@contextmanager
def _without_optimizer(model: keras.Model) -> Iterator[None]:
    optimizer, model.optimizer = getattr(model, "optimizer", None), None
    try:
        yield
    finally:
        model.optimizer = optimizer
