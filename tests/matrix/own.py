"""A network as a user writes one: no float32 at its end, a name of several words, layers of many kinds. And a
callback."""

from typing import Any

import keras
from keras import layers


def mixed_bag(image_shape: tuple[int, int, int], classes: int, *, width: int = 4) -> keras.Model:
    """Separable convolutions beside a pooled branch, layer and group norm, dropout, a regularizer."""
    image = keras.Input(image_shape)
    x = layers.Conv2D(width, 3, strides=2, kernel_regularizer=keras.regularizers.L2(1e-3))(image)
    x = layers.LayerNormalization()(x)
    x = layers.Activation("gelu")(x)
    one = layers.SeparableConv2D(2 * width, 3, padding="same")(x)
    one = layers.GroupNormalization(groups=2)(one)
    other = layers.Conv2D(2 * width, 1)(x)
    x = layers.Add()([one, layers.SpatialDropout2D(0.2)(other)])
    x = layers.BatchNormalization()(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.2)(x)
    return keras.Model(image, layers.Dense(classes, activation="softmax")(x), name="mixed_bag")


def plain(image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Nothing that depends on the batch or on random numbers: its weights are compared with Keras's."""
    return keras.Sequential(
        [
            keras.Input(image_shape),
            layers.Conv2D(4, 3, strides=2, activation="tanh"),
            layers.Conv2D(6, 3, strides=2, activation="tanh"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(classes, activation="softmax", kernel_regularizer="l2"),
        ],
        name="plain",
    )


class Losses(keras.callbacks.Callback):
    """Keeps the loss of each epoch, and ends the training below a limit."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit
        self.losses: list[float] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.losses.append((logs or {})["loss"])
        assert len(self.losses) == epoch + 1, "it is kept over interruptions"
        self.model.stop_training = self.model.stop_training or self.losses[-1] < self.limit

    def get_state(self) -> dict[str, Any]:
        return {"losses": self.losses}

    def set_state(self, state: dict[str, Any]) -> None:
        self.losses = state["losses"]
