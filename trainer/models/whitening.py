"""ZCA whitening (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009, appendix A).

It is the first layer of a network, so that it lies in the weights, and evaluation, prediction and users of
the exported model apply the same. Steps do not change it.
"""

from collections.abc import Iterable

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from trainer.errors import ConfigError
from trainer.models.networks.scale import Scale
from trainer.models.whitening_limit import ZCA

EPSILON = 1e-6
"""Added to the eigenvalues; that of Keras's ImageDataGenerator."""


def whitened(network: keras.Model) -> keras.Model:
    """`network` behind a layer that whitens images in 0..1 (n, H, W, C), and at first changes nothing.

    Raises ConfigError for a network with layers that the export would have to change.
    """
    if any(isinstance(layer, Scale) for layer in network._flatten_layers()):
        raise ConfigError(
            f"data.standardize: zca does not work with {network.name}, whose scale layers need images that "
            "are standardized as its weights expect",
            "Use caffe, or another network",
        )
    shape = network.input_shape[1:]
    values = int(np.prod(shape))
    whiten = [
        layers.Flatten(name="zca_flatten", dtype="float32"),
        layers.Dense(values, kernel_initializer="identity", trainable=False, name=ZCA, dtype="float32"),
        layers.Reshape(shape, name="zca_reshape", dtype="float32"),
    ]
    image = keras.Input(shape)
    if isinstance(network, keras.Sequential):
        return keras.Sequential([image, *whiten, *network.layers], name=network.name)
    x = image
    for layer in whiten:
        x = layer(x)
    return keras.Model(image, network(x), name=network.name)


def fit(model: keras.Model, batches: Iterable[NDArray[np.float32]]) -> None:
    """Sets the whitening of such a model by images in 0..1, (n, H, W, C) in each of `batches`."""
    layer = model.get_layer(ZCA)
    values = layer.units
    count, total, products = 0, np.zeros(values), np.zeros((values, values))
    for batch in batches:
        rows = batch.reshape(len(batch), values).astype(np.float64)
        count += len(rows)
        total += rows.sum(0)
        products += rows.T @ rows
    mean = total / count
    products /= count
    products -= np.outer(mean, mean)
    eigenvalues, vectors = np.linalg.eigh(products)
    kernel = (vectors / np.sqrt(eigenvalues.clip(0) + EPSILON)) @ vectors.T
    layer.set_weights([kernel.astype(np.float32), -(mean @ kernel).astype(np.float32)])
