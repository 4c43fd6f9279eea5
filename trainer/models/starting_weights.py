"""Starting weights: what of a file goes into a network, and a report of what did not and why.

Only for a new run: a resumed one has its weights from its checkpoint.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import keras

from trainer.config.applications import APPLICATIONS
from trainer.errors import ConfigError
from trainer.models.imagenet import imagenet_weights
from trainer.models.networks.keras_applications import load_imagenet
from trainer.models.weights_matching import NetworkLayer, describe, explain_difference, match
from trainer.models.weights_reader import SavedLayer, layer_paths
from trainer.models.weights_subprocess import read_layers_in_subprocess
from trainer.models.whitening_limit import ZCA
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
    def described(self) -> NetworkLayer:
        return describe(self.layer, self.path)


def load_starting_weights(
    model: keras.Model, source: str, read: Callable[[str], bytes] | None = None, *, network: str = ""
) -> Report:
    """Puts the weights of `source` into every layer of `model` that they fit.

    A file of the same structure goes in by structure, a legacy file of the same layers in the same order by
    order, any other by the layer names that somebody chose (see `weights_matching`). A layer of another
    shape, such as the head of another number of classes, stays fresh, and so does the whitening of a network
    that got it later.

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
    targets = list(_targets(model.layers if _has_whitening(saved) else _without_whitening(model)))
    report = _load(targets, saved, source)
    fresh = [layer.name for layer in leaves(model) if layer not in [target.layer for target in targets]]
    report = replace(report, missing={**report.missing, **dict.fromkeys(fresh, "not in the file")})
    if not report.matched:
        came = abbreviate([layer.name for layer in saved], MAX_LAYERS_SHOWN) or "none"
        expected = abbreviate([target.layer.name for target in targets], MAX_LAYERS_SHOWN)
        why = explain_difference([target.described for target in targets], saved)
        raise ConfigError(
            f"model.weights: no layer of {source} fits {network}{why and f' ({why})'}: expected layers as "
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
    return [target.layer for target in _targets(model.layers)]


def _read(url: str) -> bytes:
    folder, key = split_url(url)
    return open_store(folder).get(key)


def _targets(layers: Sequence[keras.layers.Layer], place: str = "") -> Iterator[_Target]:
    paths = layer_paths([type(layer).__name__ for layer in layers], place)
    for layer, path in zip(layers, paths, strict=True):
        if isinstance(layer, keras.Model):
            yield from _targets(layer.layers, path + "/")
        elif layer.weights:
            yield _Target(layer, path)


def _has_whitening(saved: Sequence[SavedLayer]) -> bool:
    return any(layer.name == ZCA for layer in saved)


def _without_whitening(model: keras.Model) -> list[keras.layers.Layer]:
    """The network's layers as they are numbered without the whitening before them (see `whitened`)."""
    places = [place for place, layer in enumerate(model.layers) if layer.name == ZCA]
    if not places:
        return list(model.layers)
    rest = model.layers[places[0] + 2 :]  # behind the layer that gives whitened images their shape again
    return list(rest[0].layers) if len(rest) == 1 and isinstance(rest[0], keras.Model) else list(rest)


def _load(targets: Sequence[_Target], saved: Sequence[SavedLayer], source: str) -> Report:
    found = match([target.described for target in targets], saved)
    for own, place in found.pairs:
        targets[own].layer.set_weights(list(saved[place].arrays))
    matched = tuple(targets[own].layer.name for own, _ in found.pairs)
    return Report(source, matched, found.mismatched, found.unused, found.missing)
