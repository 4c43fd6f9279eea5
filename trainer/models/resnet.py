"""Residual networks (He et al., "Deep Residual Learning for Image Recognition", 2015, arXiv:1512.03385)."""

import keras


def resnet50(image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Keras's ResNet-50 with random weights and a head of `classes` nodes."""
    body = keras.applications.ResNet50(
        include_top=False, weights=None, input_shape=image_shape, pooling="avg"
    )
    probabilities = keras.layers.Dense(classes, activation="softmax", dtype="float32", name="predictions")
    return keras.Model(body.input, probabilities(body.output), name="resnet50")
