"""The layers in a file of Keras weights, of whatever age: `.weights.h5`, `.keras`, or legacy HDF5.

A file may be anybody's, so it is only read: no configuration in it is turned into objects, and no link out of
it is followed. `trainer.models.weights_subprocess` does this in a process of its own.
"""

import io
import json
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from trainer.errors import ConfigError
from trainer.runs.layout import weights_file_name

ZIP_WEIGHTS = weights_file_name("model")
ZIP_CONFIG = "config.json"
MAX_EXPANSION = 100
"""Maximum ratio of the size to the stored size: weights hardly compress."""
OLD_LAYERS = "_layer_checkpoint_dependencies"
"""What TensorFlow 2.12 and 2.13 called the group `layers`."""


_ROLE = re.compile(
    "(?:^|_)((?:depthwise_|pointwise_|recurrent_)?kernel|bias|gamma|beta|moving_mean|moving_variance)"
    r"(?:_\d+)?$"
)
_KERAS_1_ROLES = {
    "W": "kernel",
    "b": "bias",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",  # its values are variances
}
_KERAS_1 = re.compile(f"_({'|'.join(_KERAS_1_ROLES)})$")


@dataclass(frozen=True)
class SavedLayer:
    """A layer that holds arrays, in the order in which Keras keeps them.

    `path` is its place in the network ("layers/conv2d_1"), which the legacy format does not know: "". There
    the layers are in order, and `roles` says what each array is ("kernel"; "" where its name tells nothing).
    """

    name: str
    path: str
    arrays: tuple[NDArray[Any], ...]
    roles: tuple[str, ...] = ()

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(array.shape for array in self.arrays)


def read_layers(data: bytes, source: str) -> list[SavedLayer]:
    """The layers with weights in a file's bytes.

    Raises ConfigError that names `source` for another kind of file, or an incomplete one.
    """
    names: dict[str, str] = {}
    if data[:2] == b"PK":
        data, names = _unzip(data, source)
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            return _layers(file, names, source)
    except ConfigError:
        raise
    except Exception as error:  # damage makes h5py raise errors of many kinds
        problem = f"{source}: not a whole HDF5 file ({' '.join(str(error).split())})"
        raise ConfigError(problem, "Fetch it again") from None


def layer_paths(class_names: Iterable[str], place: str = "") -> list[str]:
    """Where Keras 3 saves a model's layers: the class in snake case, numbered from the second on.

    >>> layer_paths(["Conv2D", "BatchNormalization", "Conv2D"])
    ['layers/conv2d', 'layers/batch_normalization', 'layers/conv2d_1']
    """
    paths: list[str] = []
    used: defaultdict[str, int] = defaultdict(int)
    for class_name in class_names:
        word = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", class_name))
        word = re.sub("([a-z])([A-Z])", r"\1_\2", word).lower()
        paths.append(f"{place}layers/{word}_{used[word]}" if used[word] else f"{place}layers/{word}")
        used[word] += 1
    return paths


def _layers(file: h5py.File, names: dict[str, str], source: str) -> list[SavedLayer]:
    groups: dict[str, h5py.Group] = {}
    datasets: dict[str, h5py.Dataset] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Group):
            groups[name] = item
        elif isinstance(item, h5py.Dataset):
            datasets[name] = item

    file.visititems(visit)  # each object once; links are not followed
    for root, group in (("", file), ("model_weights/", groups.get("model_weights"))):
        if group is not None and (layer_names := _strings(group, "layer_names")):
            flipped = _strings(group, "backend") == ["theano"]
            return [
                _legacy_layer(inner, found, source, flipped)
                for name in layer_names
                for inner, found in _legacy(name, root + name, groups, datasets)
            ]
    if "layers" in groups or OLD_LAYERS in groups:
        return [
            SavedLayer(name, path, tuple(_array(dataset, source) for dataset in found))
            for name, path, found in _by_path(groups, datasets, names)
        ]
    raise ConfigError(
        f"{source}: expected Keras weights, found HDF5 without layer_names and without a group `layers`",
        "Save it with Keras's save_weights or save",
    )


def _legacy(
    name: str, place: str, groups: dict[str, h5py.Group], datasets: dict[str, h5py.Dataset]
) -> Iterator[tuple[str, list[h5py.Dataset]]]:
    """The layer of a legacy group; of a nested model's group, the layers of that model."""
    inner: defaultdict[str, list[h5py.Dataset]] = defaultdict(list)
    for weight in _strings(groups[place], "weight_names") if place in groups else ():
        if (dataset := datasets.get(f"{place}/{weight}")) is not None:
            inner[weight.rpartition("/")[0]].append(dataset)
    for scope, found in inner.items():
        yield (scope.rpartition("/")[2] or name) if len(inner) > 1 else name, found


def _legacy_layer(name: str, found: Sequence[h5py.Dataset], source: str, flipped: bool) -> SavedLayer:
    """`flipped`: of Keras on Theano, which turned the kernels of convolutions by 180 degrees; Keras 2 turned
    them back (keras/engine/topology.py, preprocess_weights_for_loading)."""
    roles = tuple(weight_role(str(dataset.name)) for dataset in found)
    arrays = [_array(dataset, source) for dataset in found]
    if flipped:
        arrays = [
            np.flip(array, tuple(range(array.ndim - 2))) if role == "kernel" and array.ndim > 2 else array
            for array, role in zip(arrays, roles, strict=True)
        ]
    return SavedLayer(name, "", tuple(arrays), roles)


def weight_role(name: str) -> str:
    """What a weight is, by its name in any Keras; "" for one that is not known.

    >>> [weight_role(name) for name in ("conv/kernel_1:0", "convolution2d_1_W", "bn_1_running_std:0", "x:0")]
    ['kernel', 'kernel', 'moving_variance', '']
    """
    word = name.rpartition("/")[2].partition(":")[0]
    found = _KERAS_1.search(word)
    if found:
        return _KERAS_1_ROLES[found[1]]
    known = _ROLE.search(word)
    return known[1] if known else ""


def _by_path(
    groups: dict[str, h5py.Group], datasets: dict[str, h5py.Dataset], names: dict[str, str]
) -> Iterator[tuple[str, str, list[h5py.Dataset]]]:
    numbered: defaultdict[str, dict[int, h5py.Dataset]] = defaultdict(dict)
    for place, dataset in datasets.items():
        match = re.fullmatch(rf"((?:layers|{OLD_LAYERS})/.+)/vars/(\d+)", place)
        if match and not match[1].endswith("seed_generator"):
            numbered[match[1]][int(match[2])] = dataset
    for place, found in numbered.items():
        path = place.replace(OLD_LAYERS, "layers")
        kept = groups[f"{place}/vars"].attrs.get("name")
        name = _text(kept) if kept is not None else names.get(path, path.rpartition("/")[2])
        yield name, path, [found[number] for number in sorted(found)]


def _array(dataset: h5py.Dataset, source: str) -> NDArray[Any]:
    if dataset.external or dataset.is_virtual:
        raise ConfigError(f"{source}: the weights {dataset.name} lie in another file, which is not opened")
    if dataset.dtype.kind not in "fiub":
        raise ConfigError(f"{source}: the weights {dataset.name} are not numbers but {dataset.dtype}")
    if dataset.nbytes > MAX_EXPANSION * max(dataset.id.get_storage_size(), 2**20):
        raise ConfigError(f"{source}: the weights {dataset.name} would grow to {dataset.nbytes:,} bytes")
    return np.asarray(dataset[()])


def _unzip(data: bytes, source: str) -> tuple[bytes, dict[str, str]]:
    """The weights in a `.keras` file, and the names of its layers by path, from the configuration's text."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                if info.file_size > MAX_EXPANSION * max(info.compress_size, 2**20):
                    raise ConfigError(f"{source}: {info.filename} would grow to {info.file_size:,} bytes")
            weights = archive.read(ZIP_WEIGHTS)
            config = json.loads(archive.read(ZIP_CONFIG))
    except ConfigError:
        raise
    except Exception as error:
        problem = f"{source}: not a whole .keras file ({' '.join(str(error).split())})"
        raise ConfigError(problem, "Fetch it again, or save it with Keras's save") from None
    return weights, dict(_names(config, ""))


def _names(model: Any, place: str) -> Iterator[tuple[str, str]]:
    """(path, name) of every layer in a model's configuration."""
    config = model.get("config") if isinstance(model, dict) else None
    layers = config.get("layers") if isinstance(config, dict) else None
    described = [layer for layer in layers or [] if isinstance(layer, dict)]
    paths = layer_paths([str(layer.get("class_name")) for layer in described], place)
    for path, layer in zip(paths, described, strict=True):
        inner = layer.get("config")
        if isinstance(inner, dict) and "name" in inner:
            yield path, str(inner["name"])
        yield from _names(layer, path + "/")


def _strings(group: h5py.Group, name: str) -> list[str]:
    """A list in an attribute; Keras cuts one that is too large into name0, name1, …"""
    parts = [name] if name in group.attrs else []
    while f"{name}{len(parts)}" in group.attrs:
        parts.append(f"{name}{len(parts)}")
    return [_text(value) for part in parts for value in np.ravel(group.attrs[part])]


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
