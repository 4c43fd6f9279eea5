"""Freezing layers: they keep their weights while the others are trained."""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import keras

from trainer.errors import ConfigError
from trainer.models.networks.head import HEAD
from trainer.models.starting_weights import leaves

NONE, BACKBONE, BATCH_NORM = "none", "backbone", "batch_norm"

Flags = Sequence[tuple[keras.layers.Layer, bool]]
"""Layers, and whether each is trained."""

_own_flags: WeakKeyDictionary[keras.Model, Flags] = WeakKeyDictionary()
"""Which layers a network trains by itself, before anything was frozen here."""


def freeze(model: keras.Model, layers: str | Sequence[str], key: str = "model.freeze") -> tuple[str, ...]:
    """Freezes these layers and no others, before the optimizer is built; returns the names of those that hold
    weights. A layer that was frozen by an earlier call is what the network itself made it.

    A frozen batch norm normalizes by its moving statistics and leaves them as they are.

    Args:
        model: built.
        layers: `none`, what `layers_named` takes, or several of these.
        key: of the configuration, for errors.

    Raises:
        ConfigError: nothing matches one of `layers`, or nothing would remain trainable.
    """
    _restore(model)
    names = [layers] if isinstance(layers, str) else layers
    chosen = {id(layer): layer for name in names if name != NONE for layer in layers_named(model, name, key)}
    if not chosen:
        return ()
    if {id(layer) for layer in leaves(model) if layer.trainable_weights} <= chosen.keys():
        described = layers if isinstance(layers, str) else ", ".join(layers)
        raise ConfigError(
            f"{key}: {described!r} freezes every layer of {model.name}",
            "Leave at least one layer trainable, or set freeze: none",
        )
    for layer in chosen.values():
        layer.trainable = False
    return tuple(layer.name for layer in leaves(model) if id(layer) in chosen)


def layers_named(model: keras.Model, name: str, key: str) -> Sequence[keras.layers.Layer]:
    """The layers that hold weights, in order, of those that `name` names: `backbone`, all but the head;
    `depth:N`, the first N of `model.layers`; `all-but-last:N`, all but the last N layers, those of nested
    models counted one by one; `batch_norm`, the batch norms; or a pattern over the layers' names, such as
    `conv1*` or `*[234][abc]*`.

    Raises ConfigError, which begins with `key`, where there is none.
    """
    chosen = _chosen(model, name, key)
    if not chosen:
        raise ConfigError(
            f"{key}: no layer with weights in {model.name} matches {name!r}",
            f"Use none, backbone, depth:N, all-but-last:N, batch_norm or a pattern over names such as "
            f"{_examples(leaves(model))}",
        )
    return chosen


def frozen_variables(model: keras.Model) -> set[int]:
    """The `id` of every variable that no step changes: the weights of layers that are frozen."""
    return {id(weight) for layer in leaves(model) if not layer.trainable for weight in layer.weights}


def rate_factors(model: keras.Model, rates: Mapping[str, float] | None) -> tuple[float, ...]:
    """The factor of the learning rate for each of `model.trainable_variables`. Raises ConfigError where
    nothing matches one of the names."""
    factors: dict[int, float] = {}
    for name, factor in sorted((rates or {}).items()):  # in one order, whatever order YAML's readers keep
        for layer in layers_named(model, name, "train.layer_rates"):
            for weight in layer.weights:
                factors[id(weight)] = factors.get(id(weight), 1.0) * factor
    return tuple(factors.get(id(variable), 1.0) for variable in model.trainable_variables)


def _restore(model: keras.Model) -> None:
    """Lets each layer be trained, or not, as the network was made."""
    if model not in _own_flags:
        _own_flags[model] = _flags(model)
    _set_flags(_own_flags[model])


def _flags(model: keras.Model) -> Flags:
    return [(part, part.trainable) for leaf in leaves(model) for part in leaf._flatten_layers()]


def _set_flags(flags: Flags) -> None:
    for layer, trainable in flags:  # a layer before those within it, which it sets too
        if layer.trainable != trainable:
            layer.trainable = trainable


@contextmanager
def as_made(model: keras.Model) -> Iterator[None]:
    """A context in which each layer is trained, or not, as the network was made: nothing is frozen."""
    frozen = _flags(model)
    _restore(model)
    try:
        yield
    finally:
        _set_flags(frozen)


def _chosen(model: keras.Model, name: str, key: str) -> Sequence[keras.layers.Layer]:
    with_weights = leaves(model)
    if name == BACKBONE:
        return [layer for layer in with_weights[:-1] if layer.name != HEAD]
    if name == BATCH_NORM:
        return [layer for layer in with_weights if isinstance(layer, keras.layers.BatchNormalization)]
    if match := re.fullmatch(r"depth:(\d+)", name):
        first = _first(model, model.layers, int(match[1]), name, key)
        return _within(with_weights, first)
    if match := re.fullmatch(r"all-but-last:(\d+)", name):
        flat = list(_flat(model.layers))
        _first(model, flat, int(match[1]), name, key)
        return _within(with_weights, flat[: len(flat) - int(match[1])])
    return [layer for layer in with_weights if fnmatch.fnmatchcase(layer.name, name)]


def _first(
    model: keras.Model, layers: Sequence[keras.layers.Layer], count: int, name: str, key: str
) -> Sequence[keras.layers.Layer]:
    """The first `count` of them. Raises ConfigError for more than there are."""
    if count > len(layers):
        form = name.partition(":")[0]
        raise ConfigError(
            f"{key}: {model.name} has {len(layers)} layers, received {name}",
            f"Use up to {form}:{len(layers) - 1}",
        )
    return layers[:count]


def _within(
    with_weights: Sequence[keras.layers.Layer], layers: Iterable[keras.layers.Layer]
) -> Sequence[keras.layers.Layer]:
    first = {id(layer) for top in layers for layer in _with_inner(top)}
    return [layer for layer in with_weights if id(layer) in first]


def _flat(layers: Iterable[keras.layers.Layer]) -> Iterator[keras.layers.Layer]:
    for layer in layers:
        if isinstance(layer, keras.Model):
            yield from _flat(layer.layers)
        else:
            yield layer


def _with_inner(layer: keras.layers.Layer) -> Sequence[keras.layers.Layer]:
    return leaves(layer) if isinstance(layer, keras.Model) else [layer]


def _examples(layers: Sequence[keras.layers.Layer]) -> str:
    return ", ".join(layer.name for layer in (layers[0], layers[-1])) if layers else "none"
