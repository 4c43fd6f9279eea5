"""A network's weights as the bytes of Keras's `.weights.h5`, and back."""

import tempfile
from pathlib import Path

import keras

from trainer.runs.layout import weights_file_name


def weights_file(model: keras.Model) -> bytes:
    """The content of a `.weights.h5` with the model's weights; the optimizer's are for checkpoints."""
    optimizer, model.optimizer = getattr(model, "optimizer", None), None
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / weights_file_name("model")
            model.save_weights(path)
            return path.read_bytes()
    finally:
        model.optimizer = optimizer


def load_weights_file(model: keras.Model, content: bytes) -> None:
    """Puts the weights of such a file into a model of the same structure."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / weights_file_name("model")
        path.write_bytes(content)
        model.load_weights(path)
