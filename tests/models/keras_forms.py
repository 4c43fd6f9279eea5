"""Files of weights as Keras 1, 2 and 3 write them, whose layers are numbered from any number on."""

import io
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import h5py
import keras
import numpy as np
from numpy.typing import NDArray

Weights = dict[str, NDArray[np.float32]]

_ROLES = {"Conv2D": ["kernel", "bias"], "Dense": ["kernel", "bias"]} | {
    "BatchNormalization": ["gamma", "beta", "moving_mean", "moving_variance"]
}
_KERAS_1_CLASSES = {
    "Conv2D": "convolution2d",
    "BatchNormalization": "batchnormalization",
    "MaxPooling2D": "maxpooling2d",
}
_KERAS_1_ROLES = {
    "kernel": "W",
    "bias": "b",
    "moving_mean": "running_mean",
    "moving_variance": "running_std",
}


def names(model: keras.Model, start: int, classes: dict[str, str]) -> Iterator[str]:
    """An automatic name for each layer: the first of a class is numbered `start`, and 0 is no number."""
    counts: defaultdict[str, int] = defaultdict(lambda: start)
    for layer in model.layers:
        kind = type(layer).__name__
        word = classes.get(kind) or keras.src.utils.naming.to_snake_case(kind)
        yield f"{word}_{counts[kind]}" if counts[kind] else word
        counts[kind] += 1


def keras_1(model: keras.Model, start: int = 1) -> dict[str, Weights]:
    """`convolution2d_1` holds `convolution2d_1_W:0`."""
    return {
        name: {
            f"{name}_{_KERAS_1_ROLES.get(role, role)}:0": array
            for role, array in zip(_ROLES.get(type(layer).__name__, ()), layer.get_weights(), strict=True)
        }
        for layer, name in zip(model.layers, names(model, start, _KERAS_1_CLASSES), strict=True)
    }


def keras_2(model: keras.Model, start: int = 1) -> dict[str, Weights]:
    """`conv2d_1` holds `conv2d_1/kernel:0`."""
    return {
        name: {
            f"{name}/{role}:0": array
            for role, array in zip(_ROLES.get(type(layer).__name__, ()), layer.get_weights(), strict=True)
        }
        for layer, name in zip(model.layers, names(model, start, {}), strict=True)
    }


def nested(layers: dict[str, Weights], count: int) -> dict[str, Weights]:
    """The first `count` layers as a model in the model, as tf.keras writes it: what was trained is first."""
    inner = {name: array for layer in list(layers.values())[:count] for name, array in layer.items()}
    moving = {name: array for name, array in inner.items() if "moving" in name}
    trained = {name: array for name, array in inner.items() if name not in moving}
    return {"input_4": {}, "backbone": trained | moving, **dict(list(layers.items())[count:])}


def file(layers: dict[str, Weights], *, whole: bool = False, **attributes: Any) -> bytes:
    """`whole`: as `model.save` writes it, with the optimizer's state beside."""
    content = io.BytesIO()
    with h5py.File(content, "w") as hdf5:
        group = hdf5.create_group("model_weights") if whole else hdf5
        group.attrs["layer_names"] = [name.encode() for name in layers]
        for name, value in attributes.items():
            group.attrs[name] = value
        for layer, weights in layers.items():
            inner = group.create_group(layer)
            inner.attrs["weight_names"] = [name.encode() for name in weights]
            for name, array in weights.items():
                inner[name] = array
        if whole:
            hdf5.attrs["model_config"] = b"{}"
            state = hdf5.create_group("optimizer_weights")
            state.attrs["weight_names"] = [b"SGD/iter:0", b"SGD/conv2d_1/kernel/momentum:0"]
            state["SGD/iter:0"] = np.int64(9)
            state["SGD/conv2d_1/kernel/momentum:0"] = np.zeros((2, 2, 3, 16), np.float32)
    return content.getvalue()
