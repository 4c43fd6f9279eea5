"""A network of the user's own: a function that is named `package.module:function`."""

import functools
import importlib
from collections.abc import Callable
from typing import Any, cast

import keras

from trainer.errors import ConfigError


def of(name: str) -> Callable[..., keras.Model]:
    """A builder of the network that the function at `package.module:function` returns.

    It is called as (image_shape, classes, **options) and returns a `keras.Model` of Keras's layers, from
    standardized images float32 (n, H, W, C) to probabilities (n, classes). Its keyword-only arguments are
    its options.

    Raises ConfigError where there is no such function; the builder, where it returns something else.
    """
    function = _find(name)

    @functools.wraps(function)
    def build(image_shape: tuple[int, int, int], classes: int, **options: Any) -> keras.Model:
        return _checked(function(image_shape, classes, **options), name, image_shape, classes)

    return build


def _find(name: str) -> Callable[..., Any]:
    """The function at `package.module:function`. Raises ConfigError where there is none."""
    module, _, function = name.partition(":")
    remedy = "Mount the package into the image and name its folder in PYTHONPATH, or build an image with it"
    try:
        found = getattr(importlib.import_module(module), function, None)
    except Exception as error:  # the module is the user's: it may raise anything
        raise ConfigError(
            f"model.name: {module} cannot be imported: {type(error).__name__}: {error}", remedy
        ) from error
    if not callable(found):
        raise ConfigError(f"model.name: {module} has no function {function!r}", "Name another")
    return cast(Callable[..., Any], found)


def _checked(model: Any, name: str, image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """`model`, if it is one that can be trained, saved and exported; else ConfigError."""
    if not isinstance(model, keras.Model):
        raise ConfigError(
            f"model.name: expected {name} to return a keras.Model, received {type(model).__name__}"
        )
    shapes = (model.input_shape, model.output_shape)
    expected = ((None, *image_shape), (None, classes))
    if shapes != expected:
        raise ConfigError(
            f"model.name: expected {name} to return a network from {expected[0]} to {expected[1]}, received "
            f"one from {shapes[0]} to {shapes[1]}"
        )
    for layer in model._flatten_layers():
        if not type(layer).__module__.startswith("keras."):
            raise ConfigError(
                f"model.name: {name} has the layer {layer.name!r} ({type(layer).__name__}), which is none "
                "of Keras's, and which those who download the model would not have",
                "Build it of Keras's layers and operations",
            )
    return model
