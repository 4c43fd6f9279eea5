"""Freezing layers: they keep their weights while the others are trained."""

import fnmatch
import re
from collections.abc import Sequence

import keras

from trainer.errors import ConfigError
from trainer.models.networks.head import HEAD
from trainer.models.starting_weights import leaves


def freeze(model: keras.Model, layers: str) -> tuple[str, ...]:
    """Freezes layers, before the optimizer is built; returns the names of those that hold weights.

    A frozen batch norm normalizes by its moving statistics and leaves them as they are.

    Args:
        model: built.
        layers: `none`; `backbone`, all but the head; `depth:N`, the first N of
            `model.layers`; or a pattern over the layers' names, such as `conv1*` or `*[234][abc]*`.

    Raises:
        ConfigError: nothing matches `layers`, or nothing would remain trainable.
    """
    if layers == "none":
        return ()
    chosen = _chosen(model, layers)
    if not chosen:
        raise ConfigError(
            f"model.freeze: no layer with weights in {model.name} matches {layers!r}",
            f"Use none, backbone, depth:N or a pattern over names such as {_examples(leaves(model))}",
        )
    if {id(layer) for layer in leaves(model) if layer.trainable_weights} <= {id(layer) for layer in chosen}:
        raise ConfigError(
            f"model.freeze: {layers!r} freezes every layer of {model.name}",
            "Leave at least one layer trainable, or set freeze: none",
        )
    for layer in chosen:
        layer.trainable = False
    return tuple(layer.name for layer in chosen)


def frozen_variables(model: keras.Model) -> set[int]:
    """The `id` of every variable that no step changes: the weights of layers that are frozen."""
    return {id(weight) for layer in leaves(model) if not layer.trainable for weight in layer.weights}


def _chosen(model: keras.Model, layers: str) -> Sequence[keras.layers.Layer]:
    with_weights = leaves(model)
    if layers == "backbone":
        return [layer for layer in with_weights[:-1] if layer.name != HEAD]
    if match := re.fullmatch(r"depth:(\d+)", layers):
        depth = int(match[1])
        if depth > len(model.layers):
            raise ConfigError(
                f"model.freeze: {model.name} has {len(model.layers)} layers, received {layers}",
                f"Use up to depth:{len(model.layers) - 1}",
            )
        first = {id(layer) for top in model.layers[:depth] for layer in _with_inner(top)}
        return [layer for layer in with_weights if id(layer) in first]
    return [layer for layer in with_weights if fnmatch.fnmatchcase(layer.name, layers)]


def _with_inner(layer: keras.layers.Layer) -> Sequence[keras.layers.Layer]:
    return leaves(layer) if isinstance(layer, keras.Model) else [layer]


def _examples(layers: Sequence[keras.layers.Layer]) -> str:
    return ", ".join(layer.name for layer in (layers[0], layers[-1])) if layers else "none"
