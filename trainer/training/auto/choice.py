"""What `recipe: auto` chooses for a dataset on a machine: pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from trainer.models.networks.pretrained_files import SIDES
from trainer.output.units import plural, shape, size, span
from trainer.training.auto.costs import GPU_CORES, Cost, cost_of

SMALL_PIXELS = 64
"""The longest side of images that are small, and not photographs."""
SMALL_RECIPE = "cifar-resnet"
OWN_NETWORK = "small-resnet"
ON_CPUS = ("keras:MobileNetV2", "keras:EfficientNetV2B0", "keras:ResNet50")
ON_GPUS = ("keras:EfficientNetV2B0", "keras:ResNet50", "keras:MobileNetV2")
"""Pretrained networks, the preferred one first."""
OWN_SIDES = (128, 96, 64)
"""Image sizes in pixels that photographs get for a network without pretrained weights."""
SECONDS = 600.0
"""How long a training should take about; with fewer images it takes less."""
LEAST_EPOCHS = 10
"""Epochs from random weights, however long they take."""
GPU_BYTES = 8 << 30
"""The memory that a GPU is assumed to have."""
MEMORY_FRACTION = 0.5
"""The fraction of a rank's memory that the estimate of a step may take."""


@dataclass(frozen=True)
class Facts:
    """What the choice depends on.

    Attributes:
        rows: training images.
        classes: their number.
        image_shape: (H, W, C) of the dataset's images.
        ranks: of the run, as it starts.
        gpus: of this machine.
        cores: that one rank has.
        memory: bytes that one rank has.
    """

    rows: int
    classes: int
    image_shape: tuple[int, int, int]
    ranks: int
    gpus: int
    cores: float
    memory: int

    @property
    def is_small(self) -> bool:
        """Whether these are small images: not photographs."""
        return max(self.image_shape[:2]) <= SMALL_PIXELS

    @property
    def networks(self) -> tuple[str, ...]:
        """The pretrained networks that fit, the preferred one first; none for small or grey images."""
        if self.is_small or self.image_shape[2] != 3:
            return ()
        return ON_GPUS if self.gpus else ON_CPUS

    @property
    def speed(self) -> float:
        """Cores of the whole run, a GPU counted as GPU_CORES."""
        return self.ranks * (GPU_CORES if self.gpus else max(1.0, self.cores))


@dataclass(frozen=True)
class Weights:
    """Pretrained weights: of which network, as `model.weights` names them, and where they are, in words.

    Attributes:
        options: of the network; None for those that are usual.
        data: the image size and the standardization of the run that the weights are of, as keys of `data`.
    """

    network: str
    source: str
    where: str
    options: Mapping[str, Any] | None = None
    data: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Choice:
    """A recipe, and three lines on it.

    Attributes:
        values: as of a recipe.
        chosen: what.
        because: why.
        change: how to change it.
    """

    values: Mapping[str, Any]
    chosen: str
    because: str
    change: str

    @property
    def lines(self) -> tuple[str, str, str]:
        """Three lines for people."""
        return self.chosen, self.because, self.change


def choose(facts: Facts, weights: Weights | None, small: Mapping[str, Any]) -> Choice:
    """The recipe for a dataset; `small` are the values of SMALL_RECIPE."""
    if weights:
        return _transfer(facts, weights)
    if facts.is_small:
        return _small(facts, small)
    return _own(facts, small)


def _small(facts: Facts, recipe: Mapping[str, Any]) -> Choice:
    height, width, _ = facts.image_shape
    values, seconds = _trained(facts, recipe, cost_of(OWN_NETWORK), height * width, most_epochs=40)
    reason = f"images of {shape(facts.image_shape)} are small"
    return _choice(facts, values, f"{OWN_NETWORK} (as {SMALL_RECIPE})", reason, seconds)


def _own(facts: Facts, recipe: Mapping[str, Any]) -> Choice:
    """A small network from random weights, for images as large as the time allows."""
    cost = cost_of(OWN_NETWORK)
    sides = [side for side in OWN_SIDES if side <= min(facts.image_shape[:2])] or [OWN_SIDES[-1]]
    fits = (s for s in sides if _epochs(facts, cost, s * s, 60) >= 30)
    side = next(fits, sides[-1])
    values, seconds = _trained(facts, recipe, cost, side * side, most_epochs=60)
    values["data"] = {**values["data"], "image_size": side, "augment": _augment(rotate=10)}
    why = "grey images" if facts.image_shape[2] != 3 else "no pretrained weights here nor to download"
    reason = f"images of {shape(facts.image_shape)}, {why}"
    return _choice(facts, values, f"{OWN_NETWORK} at {side} x {side}, from random weights", reason, seconds)


def _transfer(facts: Facts, weights: Weights) -> Choice:
    """A pretrained network: on CPUs its head is trained, on GPUs all of it."""
    frozen = not facts.gpus
    data: dict[str, Any] = {"augment": _augment()}
    if weights.data is None:
        side = side_of(facts, weights.network)
        data["image_size"] = side
        pixels = side * side
    else:
        data |= weights.data
        height, width = _sides(weights.data.get("image_size") or facts.image_shape[:2])
        pixels = height * width
    batch = _batch(facts, 32)
    cost = cost_of(weights.network).frozen if frozen else cost_of(weights.network)
    most = 20 if frozen else 30
    epochs = _epochs(facts, cost, pixels, most)
    rate = 0.001 if frozen else 0.0001
    optimizer = {"name": "adam", "learning_rate": rate}
    train: dict[str, Any] = {"epochs": epochs, "batch_size": batch, "optimizer": optimizer}
    if not frozen and epochs > 1:
        train |= {"schedule": "cosine", "warmup_epochs": 1}
    train |= _micro_batch(facts, batch, cost_of(weights.network), pixels)
    options = {"dropout": 0.2} if weights.options is None else dict(weights.options)
    model = {"name": weights.network, "options": options, "weights": weights.source}
    model["freeze"] = "backbone" if frozen else "none"
    what = f"{weights.network} with pretrained weights, {'its head' if frozen else 'all of it'} trained"
    kind = "images" if facts.is_small else "photographs"
    reason = f"{kind} of {shape(facts.image_shape)}; the weights are {weights.where}"
    values = {"data": data, "model": model, "train": train}
    return _choice(facts, values, what, reason, _seconds(facts, cost, pixels, epochs))


def _trained(
    facts: Facts, recipe: Mapping[str, Any], cost: Cost, pixels: int, *, most_epochs: int
) -> tuple[dict[str, Any], float]:
    """The recipe's values with batch, learning rate and epochs for this number of images; and the seconds."""
    full = recipe["train"]
    batch = _batch(facts, full["batch_size"])
    epochs = _epochs(facts, cost, pixels, most_epochs, LEAST_EPOCHS)
    rate = full["optimizer"]["learning_rate"] * math.sqrt(batch / full["batch_size"])
    train = {
        **full,
        "epochs": epochs,
        "batch_size": batch,
        "warmup_epochs": min(full["warmup_epochs"], epochs // 2),
        "optimizer": {**full["optimizer"], "learning_rate": float(f"{rate:.1g}")},
        **_micro_batch(facts, batch, cost, pixels),
    }
    return {**recipe, "train": train}, _seconds(facts, cost, pixels, epochs)


def _batch(facts: Facts, usual: int) -> int:
    """Images of a step: as usual, on each GPU, or fewer, so that an epoch has sixteen steps; one a rank at
    least, and four."""
    whole = usual * (facts.ranks if facts.gpus else 1)
    power = 1 << max(2, (facts.rows // 16).bit_length() - 1)
    batch = whole if facts.rows >= 50 * whole else min(power, whole)
    return max(1, min(max(batch, facts.ranks), facts.rows))


def _epochs(facts: Facts, cost: Cost, pixels: int, most: int, least: int = 5) -> int:
    """Epochs that take about SECONDS, from `least` to `most`."""
    return min(most, max(least, int(SECONDS / _seconds(facts, cost, pixels, 1))))


def _seconds(facts: Facts, cost: Cost, pixels: int, epochs: int) -> float:
    """About how long the training takes, without its start."""
    return 1.1 * facts.rows * pixels * epochs * cost.core_seconds_per_pixel / facts.speed


def side_of(facts: Facts, network: str) -> int:
    """The pixels of the image's side for a pretrained network: the largest of the usual ones that the images
    have, and with which ten epochs take SECONDS."""
    sides = [side for side in reversed(SIDES) if side <= min(facts.image_shape[:2])] or [SIDES[0]]
    cost = cost_of(network) if facts.gpus else cost_of(network).frozen
    return next((side for side in sides if _epochs(facts, cost, side * side, 10) == 10), sides[-1])


def _micro_batch(facts: Facts, batch: int, cost: Cost, pixels: int) -> dict[str, int]:
    """`micro_batch` where a rank's part of a batch would need too much memory at once."""
    lanes = max(lanes for lanes in range(1, min(batch, 64) + 1) if batch % lanes == 0)
    rows_of_lane, lanes_of_rank = batch // lanes, -(-lanes // facts.ranks)
    memory = GPU_BYTES if facts.gpus else facts.memory
    fits = MEMORY_FRACTION * memory / (cost.bytes_per_pixel * pixels * rows_of_lane)
    return {} if lanes_of_rank <= fits else {"micro_batch": max(1, int(fits))}


def _augment(**more: Any) -> dict[str, Any]:
    return {"flip": "horizontal", "shift": 0.1, "zoom": 0.1, **more}


def _sides(image_size: Any) -> tuple[int, int]:
    return (image_size, image_size) if isinstance(image_size, int) else (image_size[0], image_size[1])


def _choice(facts: Facts, values: Mapping[str, Any], network: str, reason: str, seconds: float) -> Choice:
    train, augment = values["train"], values["data"]["augment"]
    optimizer = train["optimizer"]
    chosen = (
        f"{network}; {plural(train['epochs'], 'epoch')} of batches of {train['batch_size']}, "
        f"{optimizer['name']} at {optimizer['learning_rate']:g}, images changed at random by "
        f"{', '.join(name for name, value in augment.items() if value not in (0, 'none'))}"
    )
    because = f"{plural(facts.rows, 'training image')} of {plural(facts.classes, 'class')}; {reason}; "
    if facts.gpus:
        because += plural(facts.gpus, "GPU")
    else:
        cores = f"{facts.cores:g} CPU core{'' if facts.cores == 1 else 's'}"
        because += f"{cores} and {size(facts.memory)} of memory a rank: about {span(seconds)}"
    change = (
        "--recipe NAME (`trainer recipes` lists them), --recipe auto --set model.name=NAME, or one value: "
        f"--set train.epochs={2 * train['epochs']}"
    )
    return Choice(values, chosen, because, change)


def for_network(choice: Choice, name: str) -> Choice:
    """The choice without what belongs to its network, for another one that the user names."""
    values = {key: value for key, value in choice.values.items() if key != "model"}
    data = {key: value for key, value in values["data"].items() if key not in ("standardize", "image_size")}
    trained = choice.chosen.partition("; ")[2]
    return replace(choice, values={**values, "data": data}, chosen=f"{name}, as set; {trained}")
