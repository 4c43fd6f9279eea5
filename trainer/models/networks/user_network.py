"""A network of the user's own: a function that is named `package.module:function`."""

import functools
import inspect
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any, cast

import keras

from trainer.errors import ConfigError
from trainer.models.networks.own_code import explained, find

NAMES = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.>-]*")
"""What TensorFlow takes as the name of a scope, and so of a network or a layer in a graph."""
_INNER_NAMES = re.compile(r"[A-Za-z0-9_.>-]+")
_SOFTMAX = "End it in layers.Dense(classes, activation='softmax'); two classes are two outputs"


def user_network(name: str) -> Callable[..., keras.Model]:
    """A builder of the network that the function at `package.module:function` returns.

    It is called as (image_shape, classes, **options) and returns a `keras.Model` of Keras's layers, from
    standardized images float32 (n, H, W, C) to probabilities (n, classes). Its keyword-only arguments are
    its options.

    Raises ConfigError where there is no such function; the builder, where it takes other arguments, raises,
    or returns something else.
    """
    function = find(name, "model.name")
    _signature(name, function)

    @functools.wraps(function)
    def build(image_shape: tuple[int, int, int], classes: int, **options: Any) -> keras.Model:
        _check_arguments(name, function, image_shape, classes, options)
        with explained(name, f"model.name: {name} raises", "Correct it"), redirect_stdout(sys.stderr):
            model = function(image_shape, classes, **options)
        _check(model, name, image_shape, classes)
        return cast(keras.Model, model)

    return build


def _signature(name: str, function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # of functions that are not written in Python
        raise ConfigError(
            f"model.name: {name} does not show which arguments it takes",
            "Specify a function written in Python",
        ) from None


def _check_arguments(
    name: str,
    function: Callable[..., Any],
    image_shape: tuple[int, int, int],
    classes: int,
    options: dict[str, Any],
) -> None:
    signature = _signature(name, function)
    try:
        signature.bind(image_shape, classes, **options)
    except TypeError as error:
        code = getattr(inspect.unwrap(function), "__code__", None)
        called = getattr(function, "__name__", type(function).__name__)
        location = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
        raise ConfigError(
            f"model.name: expected {name} to take (image_shape, classes, *, options), received "
            f"{called}{signature}: {error}{location}",
            "Keyword-only arguments are set in model.options",
        ) from None


def _check(model: Any, name: str, image_shape: tuple[int, int, int], classes: int) -> None:
    """Raises ConfigError unless `model` has the form of one that can be trained, saved and exported."""
    if not isinstance(model, keras.Model):
        kind = type(model)
        received = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
        raise ConfigError(
            f"model.name: expected {name} to return a keras.Model, received {received}",
            "Return keras.Sequential([...]) or keras.Model(inputs, outputs), of the package keras",
        )
    _check_layers(model, name)
    if isinstance(model, keras.Sequential) and not model.built:
        raise ConfigError(
            f"model.name: {name} returns a Sequential that does not know the shape of its images",
            "Start it with keras.Input(image_shape)",
        )
    shapes = (model.input_shape, model.output_shape)
    expected = ((None, *image_shape), (None, classes))
    if shapes != expected:
        raise ConfigError(
            f"model.name: expected {name} to return a network from {expected[0]} to {expected[1]}, received "
            f"one from {shapes[0]} to {shapes[1]}",
            _SOFTMAX if shapes[0] == expected[0] else "It has one input, keras.Input(image_shape)",
        )
    [dtype] = {tensor.dtype for tensor in model.inputs}
    if "float" not in dtype:
        raise ConfigError(f"model.name: {name} has an input of {dtype}, and images are float32", "Omit dtype")


def _check_layers(model: keras.Model, name: str) -> None:
    for layer in model._flatten_layers():
        noun = "model" if isinstance(layer, keras.Model) else "layer"
        kind = type(layer)
        if not kind.__module__.startswith("keras."):
            raise ConfigError(
                f"model.name: {name} has the {noun} {layer.name!r} ({kind.__name__}), which is not a "
                "Keras layer, so users of the exported model could not load it",
                "Build it of Keras's layers and operations, as keras.Model(inputs, outputs)",
            )
        if not (NAMES if layer is model else _INNER_NAMES).fullmatch(layer.name):
            raise ConfigError(
                f"model.name: {name} has the {noun} {layer.name!r} ({kind.__name__}), whose name TensorFlow "
                "refuses in a graph",
                "Expected letters, digits and _ . - >, of the network a letter or digit first",
            )
