"""Starting weights: what of a file goes into a network, and a report of what did not and why.

Only for a new run: a resumed one has its weights from its checkpoint.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import keras

from trainer.config.applications import APPLICATIONS
from trainer.errors import ConfigError
from trainer.models.imagenet import imagenet_weights
from trainer.models.networks.keras_applications import load_imagenet
from trainer.models.weights_reader import SavedLayer, layer_paths
from trainer.models.weights_subprocess import read_layers_in_subprocess
from trainer.output.units import abbreviate
from trainer.runs import layout
from trainer.storage import join, open_store, split_url

IMAGENET = "imagenet"
FILES = (".h5", ".hdf5", ".keras")
MAX_LAYERS_SHOWN = 5


@dataclass(frozen=True)
class Report:
    """What became of each layer that holds weights, in the network or in the file.

    `mismatched` and `missing` layers of the network start with fresh weights; `unused` ones are the file's.
    Each of the three is name -> reason.
    """

    source: str
    matched: tuple[str, ...] = ()
    mismatched: Mapping[str, str] = field(default_factory=dict)
    unused: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """One line for the log."""
        total = len(self.matched) + len(self.mismatched) + len(self.missing)
        parts = [f"starting weights from {self.source}: {len(self.matched)} of {total} layers"]
        fresh = [f"{name} ({reason})" for name, reason in {**self.mismatched, **self.missing}.items()]
        if fresh:
            parts.append(f"randomly initialised: {abbreviate(fresh, MAX_LAYERS_SHOWN)}")
        if self.unused:
            parts.append(f"unused: {abbreviate(list(self.unused), MAX_LAYERS_SHOWN)}")
        return "; ".join(parts)


@dataclass(frozen=True)
class _Target:
    """A layer of the network that holds weights."""

    layer: keras.layers.Layer
    path: str

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(weight.shape) for weight in self.layer.weights)


def load_starting_weights(
    model: keras.Model, source: str, read: Callable[[str], bytes] | None = None, *, network: str = ""
) -> Report:
    """Puts the weights of `source` into every layer of `model` that they fit.

    A file of the same structure goes in by structure, any other by layer name, as Keras's
    `load_weights(by_name=True)` did. A layer of another shape, such as the head of another number of
    classes, stays fresh.

    Args:
        model: built.
        source: another run's folder (its best weights), a `.weights.h5`, a `.keras`, a legacy Keras HDF5, by
            URL or path; or `imagenet`.
        read: an object's URL -> its bytes; default from the store.
        network: its name in the configuration, by which ImageNet's weights are known; default the model's.

    Raises:
        ConfigError: nothing there, not a whole file of weights, or not one layer of it fits.
        PermissionError, TimeoutError: of the store.
    """
    network = network or model.name
    if source == IMAGENET and network in APPLICATIONS:
        return _of_keras(model, network)
    if source == IMAGENET:
        source, data = imagenet_weights(network)
    else:
        source = source if source.lower().endswith(FILES) else join(source, layout.weights("best"))
        try:
            data = (read or _read)(source)
        except FileNotFoundError:
            raise ConfigError(
                f"model.weights: there is no {source}",
                f"Name a run that has published weights, a file ({', '.join(FILES)}), imagenet or none",
            ) from None
    saved = read_layers_in_subprocess(data, source)
    report = _load(list(_targets(model)), saved, source)
    if not report.matched:
        came = abbreviate([layer.name for layer in saved], MAX_LAYERS_SHOWN) or "none"
        expected = abbreviate([target.layer.name for target in _targets(model)], MAX_LAYERS_SHOWN)
        raise ConfigError(
            f"model.weights: no layer of {source} fits {network}: expected layers as "
            f"{expected}; the file's are {came}",
            "Name weights of this network, or none",
        )
    return report


def _of_keras(model: keras.Model, network: str) -> Report:
    source, loaded = load_imagenet(model, network)
    head = [layer.name for layer in leaves(model) if layer.name not in loaded]
    return Report(source, loaded, missing=dict.fromkeys(head, "its head"))


def leaves(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers that hold weights, in order, those of nested models in their model's place."""
    return [target.layer for target in _targets(model)]


def _read(url: str) -> bytes:
    folder, key = split_url(url)
    return open_store(folder).get(key)


def _targets(model: keras.Model, place: str = "") -> Iterator[_Target]:
    paths = layer_paths([type(layer).__name__ for layer in model.layers], place)
    for layer, path in zip(model.layers, paths, strict=True):
        if isinstance(layer, keras.Model):
            yield from _targets(layer, path + "/")
        elif layer.weights:
            yield _Target(layer, path)


def _load(targets: Sequence[_Target], saved: Sequence[SavedLayer], source: str) -> Report:
    counts = {layer.path: len(layer.arrays) for layer in saved}
    by_path = counts == {target.path: len(target.shapes) for target in targets}
    found: dict[str, list[SavedLayer]] = {}
    for layer in saved:
        found.setdefault(layer.path if by_path else layer.name, []).append(layer)
    matched: list[str] = []
    mismatched: dict[str, str] = {}
    missing: dict[str, str] = {}
    for target in targets:
        name = target.layer.name
        fitting = found.pop(target.path if by_path else name, [])
        if not fitting:
            missing[name] = "not in the file"
        elif len(fitting) > 1:
            mismatched[name] = f"the file has {len(fitting)} layers of this name"
        elif fitting[0].shapes != target.shapes:
            mismatched[name] = _difference(fitting[0].shapes, target.shapes)
        else:
            target.layer.set_weights(list(fitting[0].arrays))
            matched.append(name)
    unused = {layer.name: "not in the network" for layers in found.values() for layer in layers}
    return Report(source, tuple(matched), mismatched, unused, missing)


def _difference(saved: tuple[tuple[int, ...], ...], own: tuple[tuple[int, ...], ...]) -> str:
    if len(saved) != len(own):
        return f"{len(saved)} arrays in the file, {len(own)} in the network"
    first, second = next((s, o) for s, o in zip(saved, own, strict=True) if s != o)
    return f"{first} in the file, {second} in the network"
