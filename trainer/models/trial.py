"""Tries with a few images whether a network can be trained, exported and loaded again."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.config import RunConfig
from trainer.errors import ConfigError, TrainerError, one_line, shortened
from trainer.models.export import keras_file
from trainer.models.freeze import frozen_variables
from trainer.runs import layout

SUM_LIMIT = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 5e-2}
"""How far from 1 the probabilities of an image may add up, by the type in which a layer computes."""
EXPORT_LIMIT, MIXED_EXPORT_LIMIT = 1e-3, 5e-2
"""Maximum difference of the exported model's probabilities, as a fraction of the largest of them; the second
in mixed precision, which some layers keep within themselves."""
_OWN = "Build it of Keras's layers and operations"


def check_forward(model: keras.Model, name: str, images: tf.Tensor) -> None:
    """Raises ConfigError, which names the network `name`, unless `model` gives probabilities in training, its
    weights have gradients, and its forward pass assigns nothing that a step would lose."""
    initial = [tf.convert_to_tensor(v.value) for v in model.variables]
    trained = {id(v) for v in model.trainable_variables}
    if not trained:
        raise ConfigError(f"model.name: {name} has no weights that are trained", "Add a layers.Dense")
    with tf.GradientTape() as tape:
        values = [value for v, value in zip(model.variables, initial, strict=True) if id(v) in trained]
        tape.watch(values)
        with keras.StatelessScope(state_mapping=list(zip(model.variables, initial, strict=True))) as scope:
            probabilities = model(images, training=True)
        if not tf.is_tensor(probabilities):
            raise ConfigError(
                f"model.name: expected {name} to return one tensor, received a "
                f"{type(probabilities).__name__}",
                "Return keras.Model(image, probabilities)",
            )
        outputs = tf.cast(probabilities, tf.float32)
    # The softmax may be narrower than the last layer, which makes float32 of it.
    limit = max(SUM_LIMIT.get(layer.compute_dtype, 0.0) for layer in model._flatten_layers())
    _check_probabilities(np.asarray(outputs), name, max(limit, SUM_LIMIT["float32"]))
    if all(gradient is None for gradient in tape.gradient(outputs, values)):
        raise ConfigError(
            f"model.name: {name} has no gradients: its probabilities do not follow from its weights "
            "continuously",
            "Remove operations such as argmax, round and stop_gradient between them",
        )
    kept = frozen_variables(model)
    for variable, value in zip(model.variables, initial, strict=True):
        if scope.get_current_value(variable) is value:
            continue
        if id(variable) in trained | kept:
            _refuse_assignment(model, name, variable, "its own trained weights")
        elif "float" not in variable.dtype and "seed_generator" not in variable.path:
            _refuse_assignment(model, name, variable, f"a state of {variable.dtype}")


def check_synchronized(model: keras.Model, config: RunConfig, ranks: int) -> None:
    """Raises ConfigError for batch norms that several ranks were to take their statistics over."""
    if ranks == 1 or config.distribution.strategy == "mirrored":
        return
    for layer in model._flatten_layers():
        if getattr(layer, "synchronized", False):
            raise ConfigError(
                f"model.name: {config.model.name} has the layer {layer.name!r} with synchronized=True, and "
                "ranks exchange nothing within a forward pass",
                "Remove it and set model.batch_norm: grouped, or use distribution.strategy: mirrored",
            )


def check_grouped(model: keras.Model, config: RunConfig) -> None:
    """Raises ConfigError for batch norms of an exact run that take their statistics over a rank's rows."""
    if not config.train.exact or config.model.batch_norm == "grouped":
        return
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            raise ConfigError(
                f"train.exact: {config.model.name} has the batch norm {layer.name!r} over a rank's rows, "
                "which are others on another number of ranks",
                "Set model.batch_norm: grouped, which takes those of train.micro_batch lanes",
            )


def _check_probabilities(probabilities: NDArray[np.float32], name: str, limit: float) -> None:
    remedy = "End it in layers.Dense(classes, activation='softmax'); two classes are two outputs"
    if not np.isfinite(probabilities).all():
        raise ConfigError(
            f"model.name: {name} returns values that are not finite for the first training images",
            "Check its layers, and data.standardize",
        )
    if probabilities.min() < 0:
        raise ConfigError(
            f"model.name: expected {name} to return probabilities, received "
            f"{probabilities.min():.4g} for one of the first training images",
            remedy,
        )
    sums = probabilities.sum(-1, dtype=np.float64)
    if np.abs(sums - 1).max() > limit:
        raise ConfigError(
            f"model.name: expected {name} to return probabilities, which add up to 1, received rows that add "
            f"up to {sums.min():.4g} to {sums.max():.4g}",
            remedy,
        )


def _refuse_assignment(model: keras.Model, name: str, variable: Any, assigned: str) -> None:
    owners = [layer for layer in model._flatten_layers() if any(variable is v for v in layer.variables)]
    owner = min(owners, key=lambda layer: len(layer.variables))
    outer = min((o for o in owners if _wraps(o)), key=lambda layer: len(layer.variables), default=owner)
    raise ConfigError(
        f"model.name: {name} has the layer {outer.name!r} ({type(outer).__name__}), whose forward pass "
        f"assigns {assigned} ({variable.path}); a step keeps only float statistics of a forward pass",
        "Use another layer",
    )


def _wraps(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.Wrapper)


def check_export(model: keras.Model, name: str, images: tf.Tensor) -> None:
    """Raises ConfigError unless the `.keras` file of `model` loads where there is Keras alone, in its safe
    mode, and gives the same probabilities."""
    mixed = any(layer.compute_dtype != "float32" for layer in model._flatten_layers())
    limit = MIXED_EXPORT_LIMIT if mixed else EXPORT_LIMIT
    with _as_float32(model):
        expected = np.asarray(model(images, training=False))
    with _without_custom_objects(), tempfile.TemporaryDirectory() as folder:
        try:
            file = Path(folder) / layout.file_name(layout.KERAS_MODEL)
            file.write_bytes(keras_file(model))
            exported = np.asarray(keras.saving.load_model(file, compile=False)(images, training=False))
        except (TrainerError, OSError, MemoryError):
            raise
        except Exception as error:  # Keras raises anything for what it cannot save or load
            raise ConfigError(
                f"model.name: {name} cannot be exported: {_first_at_fault(model) or _reason(error)}", _OWN
            ) from error
    if _alike(expected, exported, limit):
        return
    with _as_float32(model):
        again = np.asarray(model(images, training=False))
    if not _alike(expected, again, limit):
        raise ConfigError(
            f"model.name: {name} returns different probabilities each time, also outside training",
            "Remove random numbers from prediction",
        )
    apart = np.abs(exported - expected).max()
    raise ConfigError(
        f"model.name: {name} cannot be exported: the exported model's probabilities differ "
        f"from its own by up to {apart:.4g}",
        _OWN,
    )


def _alike(expected: NDArray[np.float32], received: NDArray[np.float32], limit: float) -> bool:
    largest = float(np.nanmax(np.abs(expected), initial=0.0))
    return bool(np.allclose(received, expected, rtol=0, atol=limit * largest, equal_nan=True))


def _first_at_fault(model: keras.Model) -> str:
    """The first layer that Keras does not make again from its configuration, and why."""
    layers: Sequence[keras.layers.Layer] = list(model._flatten_layers(include_self=False))
    for layer in sorted(layers, key=lambda layer: isinstance(layer, keras.Model)):
        try:
            described = keras.saving.serialize_keras_object(layer)
            keras.saving.deserialize_keras_object(described, safe_mode=True)
        except Exception as error:
            return f"the layer {layer.name!r} ({type(layer).__name__}): {_reason(error)}"
    return ""


def _reason(error: Exception) -> str:
    """The reason in an error of Keras, which stands behind the whole configuration."""
    text = one_line(error).rpartition("Exception encountered: ")[2]
    return shortened(text.partition(". ")[0].partition(": {")[0].rstrip(".")) or type(error).__name__


@contextmanager
def _without_custom_objects() -> Iterator[None]:
    """Unregisters custom objects, as where the user's code is missing."""
    known = keras.saving.get_custom_objects()
    saved = dict(known)
    known.clear()
    try:
        yield
    finally:
        known.update(saved)


@contextmanager
def _as_float32(model: keras.Model) -> Iterator[None]:
    """Computes in float32, like the exported model, except in layers whose weights are narrower too."""
    policies = [(layer, layer.dtype_policy) for layer in model._flatten_layers()]
    for layer, policy in policies:
        if policy.compute_dtype != "float32" and policy.variable_dtype == "float32":
            layer.dtype_policy = "float32"
    try:
        yield
    finally:
        for layer, policy in policies:
            layer.dtype_policy = policy
