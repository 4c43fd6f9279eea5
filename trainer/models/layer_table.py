"""The layers of a network, as `keras.Model.summary` lists them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer.config.applications import APPLICATIONS, PREFIX
from trainer.models import build
from trainer.observability.tensorflow_import import quiet_tensorflow_import, require_tensorflow

_SIDES = {"lab-cnn": 32, "dcnn": 32, "small-resnet": 32, "food-cnn": 128}
"""Pixels of the images that the recipes of these networks have."""
_SIDE = 224


@dataclass(frozen=True)
class Layer:
    """A layer of a network.

    Attributes:
        name: in the network.
        type: its class.
        output: its shape, without the batch; the first one, of a layer with several.
        parameters: all of them, also those that are not trained.
    """

    name: str
    type: str
    output: tuple[int | None, ...]
    parameters: int


@dataclass(frozen=True)
class LayerTable:
    """A network's layers, and what they add up to.

    Attributes:
        network: its name.
        image_shape: (height, width, channels) of its images in pixels.
        classes: nodes of the softmax at the end.
        layers: in the order of the computation.
        convolutions: layers whose kernel slides over two dimensions, depthwise ones too.
        parameters: all of them.
        trainable: parameters without the moving averages of batch norms.
    """

    network: str
    image_shape: tuple[int, int, int]
    classes: int
    layers: tuple[Layer, ...]
    convolutions: int
    parameters: int
    trainable: int


def layer_table(
    name: str, image_size: tuple[int, int] | None, channels: int, classes: int, options: Mapping[str, Any]
) -> LayerTable:
    """Builds the network with random weights and lists its layers.

    `image_size`: (height, width) in pixels; None for what the network was made for. Raises ConfigError as
    `trainer.models.build` does.
    """
    require_tensorflow()
    with quiet_tensorflow_import():
        import keras
    sides = image_size or _own_size(name)
    keras.utils.clear_session()  # layers are named the same in every process
    model = build(name, (*sides, channels), classes, options)
    layers = tuple(
        Layer(one.name, type(one).__name__, _shape(one), one.count_params())
        for one in model.layers
        if not isinstance(one, keras.layers.InputLayer)
    )
    convolutions = sum("Conv" in one.type and "2D" in one.type for one in layers)
    trainable = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    return LayerTable(
        name, (*sides, channels), classes, layers, convolutions, model.count_params(), trainable
    )


def _own_size(name: str) -> tuple[int, int]:
    if name not in APPLICATIONS:
        side = _SIDES.get(name, _SIDE)
        return side, side
    import keras

    height, width = getattr(keras.applications, name.removeprefix(PREFIX))(weights=None).input_shape[1:3]
    return (height, width) if height else (_SIDE, _SIDE)


def _shape(layer: Any) -> tuple[int | None, ...]:
    output = layer.output[0] if isinstance(layer.output, (list, tuple)) else layer.output
    return tuple(output.shape[1:])
