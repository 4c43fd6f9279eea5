"""The networks of the food classifier document (UECFOOD-256, 2017)."""

from typing import Annotated

import keras
from keras import layers
from pydantic import Field

from trainer.models.networks.l2 import L2, penalty

Filters = Annotated[list[Annotated[int, Field(ge=1, le=2**16)]], Field(min_length=1, max_length=20)]


def food_cnn(
    image_shape: tuple[int, int, int],
    classes: int,
    *,
    filters: Filters = [16, 32, 64],  # noqa: B006  never changed
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    l2: L2 = 0.0,
) -> keras.Model:
    """2x2 convolutions with ReLU and 2x2 max pooling, averaged over the last map.

    The document's basic model has filters [16], its benchmark [16, 32, 64], its best [128] * 5 with a dropout
    of 0.3.

    Args:
        image_shape: (H, W, C) of the images.
        classes: nodes of the softmax at the end.
        filters: of each convolution.
        dropout: after each convolution.
        l2: factor of the L2 penalty on the convolutions' kernels.

    Raises:
        ValueError: the image is too small for the poolings.
    """
    model = keras.Sequential([keras.Input(image_shape)], name="food_cnn")
    for count in filters:
        model.add(layers.Conv2D(count, 2, activation="relu", padding="same", kernel_regularizer=penalty(l2)))
        if dropout:
            model.add(layers.Dropout(dropout))
        model.add(layers.MaxPooling2D(2))
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(classes, activation="softmax", dtype="float32"))
    return model
