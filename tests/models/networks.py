"""Small networks with weights that are not the fresh ones, and legacy files of them written by hand."""

import io

import h5py
import keras
import numpy as np
from numpy.typing import NDArray

from trainer.models.networks.resnet import scaled_resnet

SIZE = 32


def small_resnet(classes: int = 5) -> keras.Model:
    return scaled_resnet((SIZE, SIZE, 3), classes, blocks=(1, 2, 1, 1), width=4)


def used(model: keras.Model, seed: int = 0) -> keras.Model:
    """The model with weights and statistics drawn by `seed`."""
    random = np.random.default_rng(seed)
    for variable in model.variables:
        if variable.dtype.startswith("float"):
            fan = np.prod(variable.shape[:-1])
            low, high = (0.5, 1.5) if len(variable.shape) == 1 else (-1 / fan**0.5, 1 / fan**0.5)
            variable.assign(random.uniform(low, high, variable.shape))
    return model


def images(count: int = 3, size: int = SIZE) -> NDArray[np.float32]:
    return np.random.default_rng(9).normal(size=(count, size, size, 3)).astype(np.float32)


def legacy_file(
    layers: dict[str, dict[str, NDArray[np.float32]]], root: str = "", attribute: int = 0
) -> bytes:
    """A legacy HDF5: layer -> {weight's name: array}; `attribute` cuts layer_names into lists that long."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        group = file.create_group(root) if root else file
        names = [name.encode() for name in layers]
        parts = [names[i : i + attribute] for i in range(0, len(names), attribute)] if attribute else []
        for number, part in enumerate(parts):
            group.attrs[f"layer_names{number}"] = part
        if not parts:
            group.attrs["layer_names"] = names
        for layer, weights in layers.items():
            inner = group.create_group(layer)
            inner.attrs["weight_names"] = [name.encode() for name in weights]
            for name, array in weights.items():
                inner[name] = array
    return content.getvalue()


def legacy_layers(model: keras.Model) -> dict[str, dict[str, NDArray[np.float32]]]:
    """A model's weights in the form of `legacy_file`, named as Keras 1 did: conv1_W:0."""
    return {
        layer.name: {f"{layer.name}_{i}:0": array for i, array in enumerate(layer.get_weights())}
        for layer in model.layers
    }
