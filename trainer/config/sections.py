"""The configuration's sections."""

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from trainer.config import optimizers
from trainer.config.exact_runs import with_implied
from trainer.config.explain import quoted
from trainer.config.types import (
    _MONITORED,
    MAX_BATCH,
    Bytes,
    Every,
    Folder,
    Mode,
    Monitor,
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
        "none", description="mirror half of the images"
    )
    rotate: float = Field(0, ge=0, le=180, description="up to so many degrees, either way")
    shift: float = Field(0, ge=0, lt=1, description="up to this share of the height and width, either way")
    zoom: float = Field(0, ge=0, lt=1, description="up to this share, in or out")
    brightness: float = Field(0, ge=0, lt=1, description="up to this share, darker or brighter")


class CacheSection(Section):
    """A cache of the dataset on a local disk, shared by the ranks of a pod; it may be lost at any time."""

    path: Folder = Field(description="its folder; the chart mounts a volume there")
    max_bytes: Bytes = Field(
        50 << 30, description="a size such as 50GiB; the least recently used leaves first"
    )


class DataSection(Section):
    """The dataset, and what happens to its images before the network sees them."""

    url: Url = Field(description="the dataset: the prefix that `trainer prepare` filled")
    image_size: Pixels | tuple[Pixels, Pixels] | None = Field(
        None, description="resize to this size, or to this height and width; default as stored"
    )
    standardize: Standardize = Field(
        "x/127.5-1",
        description="applied alike in training, evaluation and prediction; `keras:NAME`: by default as that "
        "one does; `caffe` and `torch` as in keras.applications, `feature_wise` by the mean and "
        "deviation of the training images; `zca` whitens by their covariance, up to 58 x 58 pixels in colour",
    )
    augment: AugmentSection = AugmentSection()
    cache: CacheSection | None = Field(
        None, description="none, or where epochs after the first are read from"
    )


class ModelSection(Section):
    """The network and its starting weights."""

    name: str = Field(
        description="a network of trainer/models, `keras:NAME` for one of keras.applications, or "
        "`package.module:function` for one of your own"
    )
    options: dict[str, Annotated[bool | int | float | str | list[int], BeforeValidator(as_number)]] = Field(
        {}, description="the network's own options"
    )
    weights: WeightsUrl = Field(
        "none", description="starting weights: none, imagenet, a run's folder or the URL of a file"
    )
    freeze: str = Field("none", description="none, backbone, depth:N or a pattern over layer names")
    batch_norm: Literal["local", "grouped"] = Field(
        "local", description="over a rank's rows, or over groups of train.micro_batch lanes"
    )


class OptimizerSection(Section):
    """A Keras optimizer by name; any other key is an argument of its constructor, and does what it does in
    `fit`."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: optimizers.Name = Field(
        "sgd",
        description="the optimizer of keras.optimizers; with use_ema the moving averages are validated, "
        "compared and published; mixed_float16 scales the loss by itself, without loss_scale_factor",
    )
    learning_rate: float = Field(0.01, gt=0, le=3.4e38, description="the initial learning rate")

    @model_validator(mode="before")
    @classmethod
    def _check_arguments(cls, given: Any) -> Any:
        name = given.get("name", "sgd") if isinstance(given, dict) else None
        if not isinstance(name, str) or name not in optimizers.ARGUMENTS:
            return given
        own = {key: value for key, value in given.items() if key in cls.model_fields}
        others = {key: value for key, value in given.items() if key not in own}
        return own | optimizers.check_arguments(name, others)


class DistributionSection(Section):
    """How several GPUs work on one batch."""

    strategy: Literal["horovod", "mirrored"] = Field(
        "horovod",
        description="horovod: a process for each GPU, in any number of pods; mirrored: one process for the "
        "GPUs of one pod (tf.distribute.MirroredStrategy)",
    )
    exchange: Literal["float32", "float16"] = Field(
        "float32",
        description="as which gradients travel between ranks: float16 halves the bytes, and rounds",
    )


class EarlyStoppingSection(Section):
    """keras.callbacks.EarlyStopping."""

    monitor: Monitor = Field("val_accuracy", description=_MONITORED)
    patience: int = Field(10, ge=0, description="epochs without an improvement before training stops")
    min_delta: float = Field(0.0, description="the least change that counts as an improvement")
    mode: Mode = Field("auto", description="whether it is to fall (min) or to rise (max); auto: by its name")
    baseline: float | None = Field(
        None, description="a value that has to be improved on within the patience as well"
    )
    restore_best_weights: bool = Field(
        False, description="end with the weights of the best epoch by monitor, also as the last weights"
    )
    start_from_epoch: int = Field(0, ge=0, description="epochs at the start that are not looked at")


class ReduceLROnPlateauSection(Section):
    """keras.callbacks.ReduceLROnPlateau."""

    monitor: Monitor = Field("val_loss", description=_MONITORED)
    patience: int = Field(4, ge=0, description="epochs without an improvement before the rate is reduced")
    factor: float = Field(0.1, gt=0, lt=1, description="the learning rate is multiplied by this")
    mode: Mode = Field("auto", description="whether it is to fall (min) or to rise (max); auto: by its name")
    min_delta: float = Field(1e-4, description="the least change that counts as an improvement")
    min_lr: float = Field(0.0, ge=0, description="the lowest learning rate")
    cooldown: int = Field(0, ge=0, description="epochs after a reduction in which nothing is counted")


class TrainSection(Section):
    """How the network is trained."""

    epochs: int = Field(10, ge=1, le=1_000_000, description="epochs of the whole run")
    batch_size: int = Field(256, ge=1, le=MAX_BATCH, description="the global batch, over all ranks")
    lanes: int | None = Field(
        None,
        ge=1,
        le=MAX_BATCH,
        description="the fixed streams of rows that ranks share, and so the most ranks; a divisor of "
        "batch_size; default the largest up to 64",
    )
    micro_batch: int | None = Field(
        None,
        ge=1,
        le=MAX_BATCH,
        description="lanes that are computed at once, at most train.lanes; default all of a rank's",
    )
    validation_freq: int = Field(
        1,
        ge=1,
        description="validate after each so many epochs; only these can be the best",
    )
    optimizer: OptimizerSection = OptimizerSection()
    early_stopping: EarlyStoppingSection | None = Field(None, description="none, or its options")
    reduce_lr_on_plateau: ReduceLROnPlateauSection | None = Field(None, description="none, or its options")
    warmup_epochs: float = Field(
        0,
        ge=0,
        le=1_000_000,
        description="epochs, also parts of one, over which the learning rate rises from 0",
    )
    schedule: Literal["constant", "cosine", "inverse_time"] = Field(
        "constant",
        description="of the learning rate: cosine falls to 0 at the end, inverse_time by train.decay",
    )
    decay: float = Field(
        0,
        ge=0,
        le=1,
        description="of inverse_time: the rate is divided by 1 + decay * step, as in older Keras",
    )
    label_smoothing: float = Field(0, ge=0, lt=1, description="as of keras.losses.CategoricalCrossentropy")
    class_weight: Literal["none", "balanced"] = Field(
        "none", description="balanced: each class counts alike, however many rows it has"
    )
    precision: Precision = Field(
        "float32",
        description="of the computation, as keras.dtype_policies; weights stay float32, and mixed_float16 "
        "scales the loss",
    )
    mixed_precision: bool | None = Field(
        None, exclude=True, description="older name of precision: true is mixed_float16"
    )
    xla: Switch = Field(
        "auto",
        description="compile gradients and update with XLA, for which the first step takes longer; auto: on "
        "GPUs, but where train.deterministic is true",
    )
    deterministic: bool = Field(
        False, description="the same bits in every run at the same number of ranks; slower on GPUs"
    )
    exact: bool = Field(
        False,
        description="the same bits on any number of ranks: gradients, statistics and losses of groups of "
        "train.micro_batch lanes are summed as whole numbers; implies deterministic, and needs a network "
        "without batch norm, or model.batch_norm grouped",
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="of each rank within an operation, on which the bits that CPUs compute depend; default a "
        "rank's share of the cores, with exact 1; an exact run keeps its number",
    )
    audit: int | None = Field(
        None,
        ge=1,
        description="every so many steps each rank computes the gradients of another one again, and the run "
        "goes back where they differ; needs train.deterministic",
    )
    seed: int = Field(1, ge=0, lt=2**31, description="of weights, order, augmentation and dropout")

    @model_validator(mode="before")
    @classmethod
    def _implied_by_exact(cls, given: Any) -> Any:
        return with_implied(given) if isinstance(given, dict) else given

    @model_validator(mode="before")
    @classmethod
    def _older_name_of_precision(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get("mixed_precision"), bool):
            return given
        older = "mixed_float16" if given["mixed_precision"] else "float32"
        if given.get("precision", older) != older:
            raise ValueError(
                f"mixed_precision is the older name of precision, and here means {older}: leave it out, "
                f"received precision {quoted(given['precision'])} with it"
            )
        return given | {"precision": older, "mixed_precision": None}


class CheckpointSection(Section):
    """When checkpoints are saved, and which of them are kept."""

    every: Every = Field(
        Every(count=300, unit="seconds"), description="a duration, or `100 steps`, or `1 epochs`"
    )
    keep_last: int = Field(3, ge=1, description="newest checkpoints that are kept")
    keep_every: int | None = Field(
        None, ge=1, description="of each so many steps one checkpoint is kept for good"
    )


class RunSection(Section):
    """The run's folder, and what is saved there."""

    url: Url = Field(description="the run's own folder; where a run was begun, it is resumed")
    checkpoint: CheckpointSection = CheckpointSection()
    monitor: Monitor = Field("val_accuracy", description="the metric that decides which weights are best")
    tensorboard: bool = Field(
        False, description="write the metrics of each epoch for `tensorboard --logdir <run.url>/tensorboard`"
    )
    grace: Seconds = Field(60.0, description="time to save a last checkpoint after SIGTERM")
    stall_timeout: Annotated[Seconds, Field(ge=1)] | None = Field(
        300.0,
        description="time without progress after which ranks that hold the others up are killed, and the run "
        "goes on; six times as long for a first step, loading and saving, and twice the longest step where "
        "that is more; null for never",
    )


class MetricsSection(Section):
    """The endpoint for Prometheus."""

    port: int | None = Field(
        None, ge=0, le=65535, description="of /metrics, /healthz and /readyz; 0 for a free one, null for none"
    )
    linger: Seconds = Field(
        0.0, description="how long a finished run waits for its last metrics to be scraped"
    )
