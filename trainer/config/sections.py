"""The configuration's sections."""

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from trainer.config import optimizers
from trainer.config.callback_sections import EarlyStoppingSection, ReduceLROnPlateauSection
from trainer.config.exact_runs import with_implied
from trainer.config.explain import quoted
from trainer.config.own_callbacks import OwnCallback
from trainer.config.phases import PhaseSection, Schedule, with_epochs_of_phases
from trainer.config.types import (
    MAX_BATCH,
    Bytes,
    Factor,
    Folder,
    Fraction,
    Freeze,
    Layers,
    Pixels,
    Precision,
    Seconds,
    Section,
    Standardize,
    Switch,
    Url,
    WeightsUrl,
    as_number,
)


class AugmentSection(Section):
    """Random changes of training images, drawn by (seed, epoch, row)."""

    flip: Literal["none", "horizontal", "vertical", "both"] = Field(
        "none", description="flip half of the images"
    )
    rotate: float = Field(0, ge=0, le=180, description="maximum rotation in degrees, in either direction")
    shift: Fraction | tuple[Fraction, Fraction] = Field(
        0,
        description="maximum shift as a fraction of the height and width, in either direction; or one for "
        "the height and one for the width",
    )
    zoom: float = Field(0, ge=0, lt=1, description="maximum zoom as a fraction, in or out")
    brightness: float = Field(0, ge=0, lt=1, description="maximum change as a fraction, darker or brighter")
    shear: float = Field(
        0, ge=0, lt=90, description="maximum shear angle in degrees, as `shear_range` of ImageDataGenerator"
    )
    contrast: float = Field(
        0,
        ge=0,
        lt=1,
        description="maximum change of the distance from the image's mean, as a fraction, as "
        "keras.layers.RandomContrast",
    )
    channel_shift: float = Field(
        0,
        ge=0,
        le=255,
        description="maximum change of all channels, in 0..255, as `channel_shift_range` of "
        "ImageDataGenerator",
    )
    elastic: float = Field(
        0,
        ge=0,
        le=0.5,
        description="elastic deformation: maximum displacement of 6 x 6 points in the image, as a fraction "
        "of the height and width; smooth between them",
    )


class CacheSection(Section):
    """A cache of the dataset on a local disk, shared by the ranks of a pod; it may be lost at any time."""

    path: Folder = Field(description="its folder; the chart mounts a volume there")
    max_bytes: Bytes = Field(
        50 << 30, description="a size such as 50GiB; the least recently used blocks are evicted first"
    )


class DataSection(Section):
    """The dataset, and what happens to its images before the network sees them."""

    url: Url = Field(description="URL of the dataset, as passed to `trainer prepare`")
    image_size: Pixels | tuple[Pixels, Pixels] | None = Field(
        None, description="resize images to this size, or to this height and width; default: as stored"
    )
    standardize: Standardize = Field(
        "x/127.5-1",
        description="applied in training, evaluation and prediction; default with `keras:NAME`: what that "
        "application expects; `caffe` and `torch` as in keras.applications, `feature_wise` by the mean and "
        "deviation of the training images; `zca` whitens by their covariance, which takes 5.6 GiB for 64 x "
        "64 pixels in colour, at most a quarter of the memory",
    )
    augment: AugmentSection = AugmentSection()
    cache: CacheSection | None = Field(
        None, description="a local cache, which epochs after the first are read from; default: none"
    )


class ModelSection(Section):
    """The network and its starting weights."""

    name: str = Field(
        description="a network of trainer/models, `keras:NAME` for one of keras.applications, or "
        "`package.module:function` for your own"
    )
    options: dict[str, Annotated[bool | int | float | str | list[int], BeforeValidator(as_number)]] = Field(
        {}, description="options of the network"
    )
    weights: WeightsUrl = Field(
        "none", description="starting weights: none, imagenet, a run's folder or the URL of a file"
    )
    freeze: Freeze = Field(
        "none",
        description="none, backbone, depth:N (the first N layers), all-but-last:N, batch_norm, a pattern "
        "over layer names, or a list of these",
    )
    batch_norm: Literal["local", "grouped"] = Field(
        "local",
        description="local: statistics over a rank's rows; grouped: over groups of train.micro_batch lanes",
    )


class OptimizerSection(Section):
    """A Keras optimizer by name; any other key is an argument of its constructor, with the same effect as in
    `fit`."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: optimizers.Name = Field(
        "sgd",
        description="the optimizer of keras.optimizers; with use_ema the moving averages are validated, "
        "compared and published; mixed_float16 scales the loss itself, without loss_scale_factor",
    )
    learning_rate: float = Field(0.01, gt=0, le=3.4e38, description="the initial learning rate")

    @model_validator(mode="before")
    @classmethod
    def _check_arguments(cls, values: Any) -> Any:
        name = values.get("name", "sgd") if isinstance(values, dict) else None
        if not isinstance(name, str) or name not in optimizers.ARGUMENTS:
            return values
        fields = {key: value for key, value in values.items() if key in cls.model_fields}
        arguments = {key: value for key, value in values.items() if key not in fields}
        return fields | optimizers.check_arguments(name, arguments)


class DistributionSection(Section):
    """How several GPUs work on one batch."""

    strategy: Literal["horovod", "mirrored"] = Field(
        "horovod",
        description="horovod: one process per GPU, in any number of pods; mirrored: one process for all "
        "GPUs of one pod (tf.distribute.MirroredStrategy)",
    )
    exchange: Literal["float32", "float16"] = Field(
        "float32",
        description="type of the gradients that ranks exchange: float16 halves the bytes, and rounds",
    )
    wait_for_replacement: Seconds | None = Field(
        None,
        description="how long the other pods wait for one that is lost, before they train without it; by "
        "default 20s, with train.exact 0s. With train.deterministic alone they wait until it has returned",
    )
    min_ranks: int | None = Field(
        None,
        ge=1,
        description="the fewest ranks that train while others are missing; by default those of more than "
        "half of the pods",
    )
    spares: int = Field(
        0,
        ge=0,
        le=8,
        description="processes of each pod that have loaded TensorFlow and wait to replace a lost rank; none "
        "on GPUs, where all ranks are started again",
    )
    give_up_after: Seconds = Field(
        1800.0,
        description="how long pods wait for those without which they cannot train, before all exit with 75",
    )


class TrainSection(Section):
    """How the network is trained."""

    epochs: int = Field(10, ge=1, le=1_000_000, description="epochs of the whole run")
    batch_size: int = Field(256, ge=1, le=MAX_BATCH, description="the global batch, over all ranks")
    lanes: int | None = Field(
        None,
        ge=1,
        le=MAX_BATCH,
        description="fixed streams of rows, distributed over the ranks: the maximum number of ranks; a "
        "divisor of batch_size; default: the largest up to 64",
    )
    micro_batch: int | None = Field(
        None,
        ge=1,
        le=MAX_BATCH,
        description="lanes that are computed at once, at most train.lanes; default: all lanes of a rank",
    )
    validation_freq: int = Field(
        1,
        ge=1,
        description="run validation every N epochs; only validated epochs can be the best",
    )
    optimizer: OptimizerSection = OptimizerSection()
    early_stopping: EarlyStoppingSection | None = Field(None, description="its options; default: none")
    reduce_lr_on_plateau: ReduceLROnPlateauSection | None = Field(
        None, description="its options; default: none"
    )
    callbacks: list[OwnCallback] = Field([], description="Keras callbacks of your own")
    warmup_epochs: float = Field(
        0,
        ge=0,
        le=1_000_000,
        description="epochs, also fractions of one, over which the learning rate rises from 0",
    )
    schedule: Schedule = Field(
        "constant",
        description="learning rate schedule: cosine decays to 0 at the end, inverse_time by train.decay",
    )
    decay: float = Field(
        0,
        ge=0,
        le=1,
        description="decay of inverse_time: the rate is divided by 1 + decay * step, as in older Keras",
    )
    phases: Annotated[list[PhaseSection], Field(min_length=1, max_length=100)] | None = Field(
        None, description="phases with frozen layers and learning rates of their own; default: none"
    )
    layer_rates: dict[Layers, Factor] | None = Field(
        None,
        description="factors of the learning rate, by what model.freeze takes, such as `{backbone: 0.1}`; "
        "where several match a layer, their product",
    )
    label_smoothing: float = Field(0, ge=0, lt=1, description="as in keras.losses.CategoricalCrossentropy")
    class_weight: Literal["none", "balanced"] = Field(
        "none", description="balanced: weight classes inversely to their number of rows"
    )
    precision: Precision = Field(
        "float32",
        description="dtype policy of the computation, as in keras.dtype_policies; weights stay float32, and "
        "mixed_float16 scales the loss",
    )
    mixed_precision: bool | None = Field(
        None, exclude=True, description="former name of precision: true is mixed_float16"
    )
    xla: Switch = Field(
        "auto",
        description="compile gradients and update with XLA; the first step takes longer; auto: on GPUs, "
        "unless train.deterministic is true",
    )
    deterministic: bool = Field(
        False, description="bitwise reproducible runs at the same number of ranks; slower on GPUs"
    )
    exact: bool = Field(
        False,
        description="bitwise reproducible runs on any number of ranks, by integer sums over groups of "
        "train.micro_batch lanes; implies deterministic; batch norms must be grouped",
    )
    threads: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        None,
        description="threads of an operation on each rank, which change the bits on CPUs; default: 1 if "
        "exact, otherwise the rank's share of the cores",
    )
    audit: int | None = Field(
        None,
        ge=1,
        description="every N steps each rank recomputes another rank's gradients, and the run rolls back "
        "if they differ; needs train.deterministic",
    )
    seed: int = Field(1, ge=0, lt=2**31, description="seed of weights, order, augmentation and dropout")

    @model_validator(mode="before")
    @classmethod
    def _epochs_of_phases(cls, values: Any) -> Any:
        return with_epochs_of_phases(values) if isinstance(values, dict) else values

    @model_validator(mode="before")
    @classmethod
    def _implied_by_exact(cls, values: Any) -> Any:
        return with_implied(values) if isinstance(values, dict) else values

    @model_validator(mode="before")
    @classmethod
    def _former_name_of_precision(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("mixed_precision"), bool):
            return values
        precision = "mixed_float16" if values["mixed_precision"] else "float32"
        if values.get("precision", precision) != precision:
            raise ValueError(
                f"mixed_precision is the former name of precision, and here means {precision}: remove it, "
                f"received precision {quoted(values['precision'])} with it"
            )
        return values | {"precision": precision, "mixed_precision": None}
