"""The network of the CNN lab (CIFAR-10, September 2020), with its parameters."""

from typing import Annotated

import keras
from keras import layers
from pydantic import Field

from trainer.models.networks.l2 import L2, penalty


def build_cnn(
    image_shape: tuple[int, int, int],
    classes: int,
    *,
    n_conv_layers: Annotated[int, Field(ge=1, le=100)] = 2,
    n_filters: Annotated[int, Field(ge=1, le=2**16)] = 16,
    n_dense_layers: Annotated[int, Field(ge=0, le=100)] = 0,
    n_nodes: Annotated[int, Field(ge=1, le=2**20)] = 50,
    use_dropout: bool = False,
    use_batch: bool = True,
    l2: L2 = 0.0,
) -> keras.Model:
    """The lab's `build_CNN`: 3x3 convolutions, each with batch norm and 2x2 max pooling, then dense layers.

    As in the lab's code, the first convolution has `n_filters` filters and every later one twice that.
    Its `learning_rate` is `train.optimizer.learning_rate` here.

    Args:
        image_shape: (H, W, C) of the images.
        classes: nodes of the softmax at the end.
        n_conv_layers: convolutions in all, at least 1.
        n_filters: filters of the first one.
        n_dense_layers: dense layers of `n_nodes` nodes before the last one.
        n_nodes: nodes of each of them.
        use_dropout: dropout of 50 % after each of them.
        use_batch: batch norm after each convolution and intermediate dense layer.
        l2: factor of the L2 penalty on the convolutions' kernels.
    """
    model = keras.Sequential([keras.Input(image_shape)], name="lab_cnn")
    for number in range(n_conv_layers):
        filters = n_filters if number == 0 else 2 * n_filters
        model.add(
            layers.Conv2D(filters, (3, 3), activation="relu", padding="same", kernel_regularizer=penalty(l2))
        )
        if use_batch:
            model.add(layers.BatchNormalization())
        model.add(layers.MaxPooling2D((2, 2)))
    model.add(layers.Flatten())
    for _ in range(n_dense_layers):
        model.add(layers.Dense(n_nodes, activation="relu"))
        if use_batch:
            model.add(layers.BatchNormalization())
        if use_dropout:
            model.add(layers.Dropout(0.5))
    model.add(layers.Dense(classes, activation="softmax", dtype="float32"))
    return model
