"""The `Scale` layer of networks that were converted from Caffe, where batch norm learns nothing itself."""

from typing import Any

import keras


@keras.saving.register_keras_serializable("cars_trainer")
class Scale(keras.layers.Layer):
    """`inputs * gamma + beta`, with one learnt gamma and beta for each channel, the last axis.

    It stands behind a `BatchNormalization`; `export` folds the two into one.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(shape=shape, name="gamma", initializer="ones")
        self.beta = self.add_weight(shape=shape, name="beta", initializer="zeros")

    def call(self, inputs: Any) -> Any:
        return inputs * self.gamma + self.beta

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape
