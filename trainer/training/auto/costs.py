"""What a training costs: a basis for choosing, not a promise.

Seconds: of small-resnet as in docs/results.md (cifar-resnet, two ranks on two cores); those of the others
were not measured, only estimated. Bytes: two copies of each layer's outputs in float32.
"""

from dataclasses import dataclass, replace

GPU_CORES = 100.0
"""The cores of a CPU that a GPU counts as; nobody measured it."""


@dataclass(frozen=True)
class Cost:
    """The costs of a network for each pixel of an image.

    Attributes:
        core_seconds_per_pixel: of a step, on one core.
        frozen_core_seconds_per_pixel: where the head alone is trained.
        bytes_per_pixel: of memory, as `trainer.training.setup.build_network.Footprint` estimates it.
    """

    core_seconds_per_pixel: float
    frozen_core_seconds_per_pixel: float
    bytes_per_pixel: float

    @property
    def frozen(self) -> "Cost":
        """The costs where the head alone is trained."""
        return replace(self, core_seconds_per_pixel=self.frozen_core_seconds_per_pixel)


COSTS = {
    "small-resnet": Cost(13e-6, 5e-6, 8 * 907),
    "keras:MobileNetV2": Cost(3e-6, 0.8e-6, 8 * 434),
    "keras:EfficientNetV2B0": Cost(6e-6, 1.8e-6, 8 * 320),
    "keras:ResNet50": Cost(18e-6, 5e-6, 8 * 739),
}


def cost_of(network: str) -> Cost:
    """The costs of a network; of one that was not measured those of a large one."""
    return COSTS.get(network, COSTS["keras:ResNet50"])
