"""Which layer of a file of weights belongs to which layer of a network.

A file of the same structure goes in by structure. A legacy file goes in by the order of its layers, as
Keras's `load_weights` does, if kinds and shapes agree over the whole file. What is left goes in by the names
that somebody chose. A name that Keras made up (`conv2d_3`) counts the layers of a process and says
nothing about a place, so it matches nothing by itself.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import keras

from trainer.models.weights_reader import SavedLayer

AUTOMATIC = "its name is an automatic one, and the order of the layers is another"

Shapes = tuple[tuple[int, ...], ...]
Pair = tuple[int, int]
"""The place of a layer in the network, and of its weights in the file."""


@dataclass(frozen=True)
class NetworkLayer:
    """A layer of the network that holds weights.

    Attributes:
        kinds: the names of its class and of the classes that it derives from, in lower case.
        roles: of each weight, such as "kernel".
    """

    name: str
    path: str
    kinds: tuple[str, ...]
    shapes: Shapes
    roles: tuple[str, ...]

    @property
    def has_automatic_name(self) -> bool:
        return _canonical(self.name) == self.kinds[0]


@dataclass(frozen=True)
class Match:
    """Pairs that fit; for the others name -> reason, as in `starting_weights.Report`."""

    pairs: tuple[Pair, ...] = ()
    mismatched: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    unused: Mapping[str, str] = field(default_factory=dict)


def describe(layer: keras.layers.Layer, path: str) -> NetworkLayer:
    """A built layer at this path of its network."""
    return NetworkLayer(
        layer.name,
        path,
        tuple(kind.__name__.lower() for kind in type(layer).__mro__ if issubclass(kind, keras.layers.Layer)),
        tuple(tuple(weight.shape) for weight in layer.weights),
        tuple(_role(weight, layer) for weight in layer.weights),
    )


def _role(weight: keras.Variable, layer: keras.layers.Layer) -> str:
    """The name that Keras 2 uses; in Keras 3 that of a depthwise convolution is a `kernel` too."""
    role: str = weight.path.rpartition("/")[2]
    depthwise = isinstance(layer, keras.layers.DepthwiseConv1D | keras.layers.DepthwiseConv2D)
    return "depthwise_kernel" if depthwise and role == "kernel" else role


def match(network: Sequence[NetworkLayer], saved: Sequence[SavedLayer]) -> Match:
    """Both in the order of their layers; a file that knows paths has no order."""
    counts = {layer.path: len(layer.arrays) for layer in saved}
    if counts == {layer.path: len(layer.shapes) for layer in network}:
        places = {layer.path: place for place, layer in enumerate(saved)}
        return _result(network, saved, {own: places[layer.path] for own, layer in enumerate(network)})
    if (first := first_difference(network, saved)) is None:
        return _result(network, saved, {place: place for place in range(len(saved))})
    if first == len(saved) - 1 and _differ_in_the_head(network, saved):
        return _result(network, saved, {place: place for place in range(len(saved))})
    return _by_name(network, saved)


def first_difference(network: Sequence[NetworkLayer], saved: Sequence[SavedLayer]) -> int | None:
    """The first place at which a file's layer is not the network's; None where the file has the network's
    layers, or the first of them, in their order."""
    for place, layer in enumerate(saved):
        if layer.path or place == len(network) or _difference(layer, network[place]):
            return place
    return 0 if not saved or _chosen_names_contradict(network, saved) else None


def _differ_in_the_head(network: Sequence[NetworkLayer], saved: Sequence[SavedLayer]) -> bool:
    """Whether a file whose other layers agree has a head of another number of classes."""
    return (
        len(saved) == len(network) > 1
        and _difference(saved[-1], network[-1], shapes=False) is None
        and not _chosen_names_contradict(network, saved)
    )


def explain_difference(network: Sequence[NetworkLayer], saved: Sequence[SavedLayer]) -> str:
    """Where the orders first differ, for an error; "" where there is no order or no difference."""
    place = first_difference(network, saved)
    if place is None or not saved or saved[place].path:
        return ""
    if place == len(network):
        return f"in order, the file has more: after {network[-1].name} comes {saved[place].name}"
    reason = _difference(saved[place], network[place]) or "their chosen names contradict that"
    return f"in order, {saved[place].name} would go into {network[place].name}: {reason}"


def _by_name(network: Sequence[NetworkLayer], saved: Sequence[SavedLayer]) -> Match:
    named: defaultdict[str, list[int]] = defaultdict(list)
    for place, saved_layer in enumerate(saved):
        named[saved_layer.name].append(place)
    pairs = dict(_same_kinds(network, saved))
    mismatched: dict[str, str] = {}
    missing: dict[str, str] = {}
    for own, layer in enumerate(network):
        found = named.get(layer.name, [])
        if own in pairs or not found:
            continue
        if layer.has_automatic_name:
            missing[layer.name] = AUTOMATIC
        elif len(found) > 1:
            mismatched[layer.name] = f"the file has {len(found)} layers of this name"
        else:
            pairs[own] = found[0]
    result = _result(network, saved, pairs)
    reasons = {**result.missing, **missing}
    return Match(
        result.pairs,
        {**mismatched, **result.mismatched},
        {name: reason for name, reason in reasons.items() if name not in mismatched},
        {name: reason for name, reason in result.unused.items() if name not in mismatched},
    )


def _same_kinds(network: Sequence[NetworkLayer], saved: Sequence[SavedLayer]) -> Iterator[Pair]:
    """In files that know paths: the layers of each kind of which both have the same number in the same
    shapes, such as all convolutions of a network that got another dense layer."""
    ours: defaultdict[str, dict[str, int]] = defaultdict(dict)
    theirs: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for own, layer in enumerate(network):
        ours[_unnumbered(layer.path)][layer.path] = own
    for place, kept in enumerate(saved):
        if kept.path:
            theirs[_unnumbered(kept.path)][kept.path] = place
    for kind, places in theirs.items():
        own_places = ours.get(kind, {})
        if own_places.keys() == places.keys() and all(
            network[own_places[path]].shapes == saved[places[path]].shapes for path in places
        ):
            yield from ((own_places[path], places[path]) for path in places)


def _result(network: Sequence[NetworkLayer], saved: Sequence[SavedLayer], pairs: Mapping[int, int]) -> Match:
    fitting: list[Pair] = []
    mismatched: dict[str, str] = {}
    for own, place in sorted(pairs.items()):
        difference = _difference(saved[place], network[own])
        if difference is None:
            fitting.append((own, place))
        else:
            mismatched[network[own].name] = difference
    used = set(pairs.values())
    return Match(
        tuple(fitting),
        mismatched,
        {layer.name: "not in the file" for own, layer in enumerate(network) if own not in pairs},
        {layer.name: "not in the network" for place, layer in enumerate(saved) if place not in used},
    )


def _difference(saved: SavedLayer, own: NetworkLayer, *, shapes: bool = True) -> str | None:
    kind = _canonical(saved.name)
    if kind in _keras_kinds() and kind not in own.kinds:
        return f"a {kind} in the file, a {own.kinds[0]} in the network"
    if len(saved.arrays) != len(own.shapes):
        return f"{len(saved.arrays)} arrays in the file, {len(own.shapes)} in the network"
    for kept, role in zip(saved.roles, own.roles, strict=False):
        if kept and kept != role and (kept, role) != ("kernel", "depthwise_kernel"):
            return f"{kept} in the file, {role} in the network"
    if shapes and saved.shapes != own.shapes:
        kept_shape, shape = next(
            (kept, shape) for kept, shape in zip(saved.shapes, own.shapes, strict=True) if kept != shape
        )
        return f"{kept_shape} in the file, {shape} in the network"
    return None


def _chosen_names_contradict(network: Sequence[NetworkLayer], saved: Sequence[SavedLayer]) -> bool:
    """Whether a name that somebody chose, once on both sides, lies at another place."""
    times = Counter(layer.name for layer in saved)
    places = {layer.name: place for place, layer in enumerate(saved) if times[layer.name] == 1}
    return any(
        places.get(layer.name, own) != own
        for own, layer in enumerate(network)
        if not layer.has_automatic_name
    )


@cache
def _keras_kinds() -> frozenset[str]:
    """The classes of layers that Keras has, in lower case."""
    found = (getattr(keras.layers, name) for name in dir(keras.layers))
    return frozenset(kind.__name__.lower() for kind in found if isinstance(kind, type))


def _canonical(name: str) -> str:
    """The class that an automatic name was made from, in lower case; any other name as it is.

    >>> [_canonical(name) for name in ("batch_normalization_v1_3", "batchnormalization_2", "convolution2d_1")]
    ['batchnormalization', 'batchnormalization', 'conv2d']
    """
    word = re.sub(r"(_v\d)?(_\d+)?$", "", name.lower()).replace("_", "")
    return re.sub(r"convolution(?=\dd)", "conv", word)


def _unnumbered(path: str) -> str:
    return re.sub(r"_\d+$", "", path)
