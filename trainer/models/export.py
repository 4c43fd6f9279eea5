"""A trained network as a model of Keras's layers alone, which loads without this package."""

import copy
import io
import itertools
import json
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from trainer.errors import ConfigError
from trainer.models.freeze import as_made
from trainer.models.networks.scale import Scale
from trainer.runs import layout

Config = dict[str, Any]

BATCH_NORM = "BatchNormalization"
SAVED_AT = "1980-01-01@00:00:00"
"""The first moment that a zip archive can name, in the form of Keras's metadata."""


def export(model: keras.Model) -> keras.Model:
    """A float32 copy without optimizer, of Keras's layers alone, that predicts what `model` does.

    A `Scale` is folded into the batch norm before it: gamma' = gamma * s and beta' = beta * s + b. Where
    something else stands before it, it becomes a batch norm that changes nothing but by s and b.

    Args:
        model: `keras.Sequential`, or functional with each layer called once.

    Raises:
        ConfigError: a layer is neither Keras's nor one that can be turned into Keras's.
    """
    scales = {layer.name for layer in model.layers if isinstance(layer, Scale)}
    with as_made(model):  # what a run froze is frozen there alone
        config = copy.deepcopy(model.get_config())
    inputs = _inputs_of(config)
    consumers = Counter(inputs.values()) + Counter(_output_names(config))
    kinds = {_name(layer): layer["class_name"] for layer in config["layers"]}
    folds = {
        inputs[scale]: scale
        for scale in scales
        if kinds[inputs[scale]] == BATCH_NORM and consumers[inputs[scale]] == 1
    }
    _rewrite(config, scales, folds)
    copied = type(model).from_config(config)
    _refuse_own_layers(copied)
    _copy_weights(model, copied, folds)
    return copied


def keras_file(model: keras.Model) -> bytes:
    """The `.keras` file of the exported model: the same bytes for the same weights, at any time."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / layout.file_name(layout.KERAS_MODEL)
        export(model).save(file)
        return _without_time(file)


def _without_time(file: Path) -> bytes:
    """A `.keras` archive without the moment it was saved at, in its index and in its metadata."""
    content = io.BytesIO()
    with zipfile.ZipFile(file) as dated, zipfile.ZipFile(content, "w") as undated:
        for name in dated.namelist():
            data = dated.read(name)
            if name == "metadata.json":
                data = json.dumps(json.loads(data) | {"date_saved": SAVED_AT}).encode()
            undated.writestr(zipfile.ZipInfo(name), data)
    return content.getvalue()


def _name(layer: Config) -> str:
    name: str = layer["config"]["name"]
    return name


def _histories(value: Any) -> Iterator[list[Any]]:
    """Every [layer's name, node, tensor] in a functional model's configuration, to read or to change."""
    if isinstance(value, dict):
        if "keras_history" in value:
            yield value["keras_history"]
        for inner in value.values():
            yield from _histories(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _histories(inner)


def _inputs_of(config: Config) -> dict[str, str]:
    """Layer -> the layer before it; for one with several inputs each is under a key of its own."""
    layers = config["layers"]
    if "input_layers" not in config:
        return {_name(after): _name(before) for before, after in itertools.pairwise(layers)}
    inputs: dict[str, str] = {}
    for layer in layers:
        for number, history in enumerate(_histories(layer["inbound_nodes"])):
            inputs[f"{_name(layer)}/{number}" if number else _name(layer)] = history[0]
    return inputs


def _outputs(config: Config) -> list[list[Any]]:
    outputs = config.get("output_layers", [])
    return [outputs] if outputs and isinstance(outputs[0], str) else list(outputs)


def _output_names(config: Config) -> list[str]:
    return [output[0] for output in _outputs(config)]


def _rewrite(config: Config, scales: set[str], folds: dict[str, str]) -> None:
    """Folded layers leave, with those after them pointed to the one before; every layer becomes float32."""
    folded = {scale: norm for norm, scale in folds.items()}
    for history in [*_histories(config["layers"]), *_outputs(config)]:
        history[0] = folded.get(history[0], history[0])
    config["layers"] = [layer for layer in config["layers"] if _name(layer) not in folded]
    for layer in config["layers"]:
        if _name(layer) in scales:
            norm = keras.layers.BatchNormalization(name=_name(layer))
            described = keras.saving.serialize_keras_object(norm)
            layer.update({k: described[k] for k in ("module", "class_name", "registered_name", "config")})
        if _name(layer) in folds:
            layer["config"].update(scale=True, center=True)
        _make_float32(layer["config"])


def _make_float32(config: Config) -> None:
    if config.get("dtype") is not None:
        config["dtype"] = "float32"
    for layer in config.get("layers", []):
        _make_float32(layer["config"])


def _refuse_own_layers(model: keras.Model) -> None:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _refuse_own_layers(layer)
        if not type(layer).__module__.startswith("keras."):
            raise ConfigError(
                f"the layer {layer.name!r} ({type(layer).__name__}) is not a Keras layer, and the exported "
                "model may hold no other",
                "Add its Keras equivalent to trainer/models/export.py",
            )


def _copy_weights(model: keras.Model, copied: keras.Model, folds: dict[str, str]) -> None:
    for layer in copied.layers:
        original = model.get_layer(layer.name)
        if layer.name in folds:
            scale = model.get_layer(folds[layer.name])
            gamma, beta = scale.gamma.numpy(), scale.beta.numpy()
            layer.gamma.assign(gamma if original.gamma is None else original.gamma.numpy() * gamma)
            layer.beta.assign(beta if original.beta is None else original.beta.numpy() * gamma + beta)
            layer.moving_mean.assign(original.moving_mean)
            layer.moving_variance.assign(original.moving_variance)
        elif isinstance(original, Scale):
            layer.gamma.assign(original.gamma)
            layer.beta.assign(original.beta)
            layer.moving_variance.assign(np.full(layer.gamma.shape, 1 - layer.epsilon, np.float32))
        else:
            layer.set_weights(original.get_weights())
