"""The configuration of a run: one YAML, checked strictly."""

import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from trainer import optimizers, yaml_text
from trainer.applications import APPLICATIONS
from trainer.errors import ConfigError, shortened
from trainer.explain import explain, quoted
from trainer.urls import absolute

Model = TypeVar("Model", bound=BaseModel)

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(value: Any) -> Any:
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", value)
        if not match:
            raise ValueError(f"expected a duration such as 30s, 5m or 2h, received {quoted(value)}")
        return float(match[1]) * _SECONDS[match[2]]
    return value


_BYTES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BYTES |= {f"{unit}i": 1024**power for power, unit in enumerate("KMGT", 1)}


def _bytes(value: Any) -> Any:
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kMGT]|[KMGT]i|)B?\s*", value)
        if not match:
            raise ValueError(f"expected a size such as 512MiB, 50GiB or 50Gi, received {quoted(value)}")
        return int(float(match[1]) * _BYTES[match[2]])
    return value


Bytes = Annotated[int, BeforeValidator(_bytes), Field(ge=1, le=2**60)]
"""Bytes as a number, or `512MiB`, `50GiB`, as Kubernetes writes them `50Gi`, `50G`."""


Seconds = Annotated[float, BeforeValidator(_duration), Field(ge=0, le=366 * 86400)]
"""Seconds as a number, or `30s`, `5m`, `2h`, `1d`."""


def _url(value: str) -> str:
    try:
        return absolute(value)
    except ConfigError as error:
        raise ValueError(str(error)) from None


Url = Annotated[str, AfterValidator(_url)]
"""The URL of an object store, or a path, which is made absolute: see trainer/urls.py."""
NO_URLS = {"none", "imagenet"}
"""Of model.weights; anything else is a URL."""
WeightsUrl = Annotated[str, AfterValidator(lambda value: value if value in NO_URLS else _url(value))]
Folder = Annotated[
    str, Field(min_length=1), AfterValidator(lambda value: os.path.abspath(os.path.expanduser(value)))
]
"""A folder of this machine, which is made absolute."""
Pixels = Annotated[int, Field(ge=1, le=8192)]
"""A height or a width."""

Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
Switch = Annotated[
    Literal["auto", "on", "off"],
    BeforeValidator(lambda value: ("on" if value else "off") if isinstance(value, bool) else value),
    WithJsonSchema({"enum": ["auto", "on", "off", True, False]}),
]
"""`on` and `off` are true and false to YAML."""


def _number(value: Any) -> Any:
    """1e-3, which is text to YAML 1.1, as a number."""
    exponent = isinstance(value, str) and re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+", value)
    return float(value) if exponent else value


MAX_BATCH = 2**20


class Every(BaseModel):
    """How often: written `5m`, `100 steps` or `2 epochs`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    count: float = Field(gt=0, le=1e9)
    unit: Literal["seconds", "steps", "epochs"]

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        if isinstance(value, dict | cls):
            return value
        if not isinstance(value, str):
            raise ValueError(f"expected 5m, 100 steps or 1 epoch, received {quoted(value)}")
        if match := re.fullmatch(r"\s*(\d+)\s*(step|epoch)s?\s*", value):
            return {"count": int(match[1]), "unit": f"{match[2]}s"}
        try:
            return {"count": _duration(value), "unit": "seconds"}
        except ValueError:
            raise ValueError(f"expected 5m, 100 steps or 1 epoch, received {quoted(value)}") from None


class Section(BaseModel):
    """A part of the configuration: unknown keys are errors, numbers are finite, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_no_booleans(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = _kinds(cls.model_fields[info.field_name or ""].annotation)
        number = (int in kinds or float in kinds) and bool not in kinds
        return optimizers.refuse_bool(value) if number else value


def _kinds(annotation: Any) -> list[Any]:
    """The plain types in an annotation."""
    inner = get_args(annotation)
    return [kind for part in inner for kind in _kinds(part)] if inner else [annotation]


class AugmentSection(Section):
    """Random changes of training images, drawn by (seed, epoch, row)."""

    flip: Literal["none", "horizontal", "vertical", "both"] = Field(
        "none", description="mirror half of the images"
    )
    rotate: float = Field(0, ge=0, le=180, description="up to so many degrees, either way")
    shift: float = Field(0, ge=0, lt=1, description="up to this share of the height and width, either way")
    zoom: float = Field(0, ge=0, lt=1, description="up to this share, in or out")
    brightness: float = Field(0, ge=0, lt=1, description="up to this share, darker or brighter")


Monitor = Literal["loss", "accuracy", "top5_accuracy", "val_loss", "val_accuracy", "val_top5_accuracy"]
"""The metrics of an epoch that can be monitored."""
Mode = Literal["auto", "min", "max"]
Standardize = Literal["none", "x/255", "x/127.5-1", "per_image", "feature_wise", "zca", "caffe", "torch"]


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
    options: dict[str, Annotated[bool | int | float | str | list[int], BeforeValidator(_number)]] = Field(
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


_MONITORED = "the metric; without a validation split the training metric of that name"


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
    audit: int | None = Field(
        None,
        ge=1,
        description="every so many steps each rank computes the gradients of another one again, and the run "
        "goes back where they differ; needs train.deterministic",
    )
    seed: int = Field(1, ge=0, lt=2**31, description="of weights, order, augmentation and dropout")

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


class RunConfig(Section):
    """The configuration of one run. See `load`."""

    data: DataSection
    model: ModelSection
    train: TrainSection = TrainSection()
    distribution: DistributionSection = DistributionSection()
    run: RunSection
    metrics: MetricsSection = MetricsSection()

    @model_validator(mode="before")
    @classmethod
    def _standardize_as_the_network_expects(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        data, model = given.get("data"), given.get("model")
        if not (isinstance(data, dict) and isinstance(model, dict)) or "standardize" in data:
            return given
        name = model.get("name")
        if not isinstance(name, str) or name not in APPLICATIONS:
            return given
        return given | {"data": data | {"standardize": APPLICATIONS[name]}}

    @model_validator(mode="after")
    def _is_consistent(self) -> "RunConfig":
        train = self.train
        if train.lanes and train.batch_size % train.lanes:
            divisors = (d for d in range(1, train.batch_size + 1) if train.batch_size % d == 0)
            near = min(divisors, key=lambda d: abs(d - (train.lanes or 1)))
            raise ValueError(
                f"train.lanes: expected a divisor of train.batch_size {train.batch_size}, "
                f"received {train.lanes}; the nearest is {near}"
            )
        if train.validation_freq > train.epochs:
            raise ValueError(
                f"train.validation_freq: expected at most the {train.epochs} of train.epochs, "
                f"received {train.validation_freq}"
            )
        if train.warmup_epochs >= train.epochs:
            raise ValueError(
                f"train.warmup_epochs: expected less than the {train.epochs} of train.epochs, "
                f"received {train.warmup_epochs}"
            )
        if (train.schedule == "inverse_time") != (train.decay > 0):
            raise ValueError(
                f"train.decay: expected above 0 with train.schedule inverse_time and 0 with others, received "
                f"{train.decay} with {train.schedule}"
            )
        if self.data.standardize == "zca" and self.model.weights == "imagenet":
            raise ValueError(
                "data.standardize: zca is not for model.weights imagenet, which expect images as they were "
                "trained on: leave data.standardize out, or model.weights"
            )
        if train.audit and not train.deterministic:
            raise ValueError(
                "train.audit: ranks that do the same have to get the same bits: set train.deterministic: true"
            )
        if train.audit and self.distribution.strategy == "mirrored":
            raise ValueError(
                "train.audit: compares ranks, and mirrored has one: set distribution.strategy: horovod"
            )
        if self.model.batch_norm == "grouped" and not train.micro_batch:
            raise ValueError("model.batch_norm: grouped needs train.micro_batch, the lanes of a group")
        return self


def recipes() -> dict[str, str]:
    """The recipes: name -> YAML text."""
    folder = resources.files("trainer") / "recipes"
    return {
        entry.name.removesuffix(".yaml"): entry.read_text()
        for entry in sorted(folder.iterdir(), key=lambda e: e.name)
        if entry.name.endswith(".yaml")
    }


def load(path: Path | None = None, *, recipe: str | None = None, sets: Sequence[str] = ()) -> RunConfig:
    """The recipe's values, then the file's, then `--set a.b=c`, checked.

    Raises ConfigError that says what was expected and what was received.
    """
    if not (path or recipe or sets):
        raise ConfigError("no configuration given", "Give a YAML file with --config, or a --recipe")
    given = read_yaml(path) if path else {}
    recipe = recipe or given.pop("recipe", None)
    given.pop("recipe", None)
    values = with_sets(merge(_recipe(recipe) if recipe else {}, given), sets)
    where = str(path) if path else "the configuration"
    return checked(RunConfig, values, where, sets, remedy="See `trainer recipes` for whole examples")


def parse(values: Mapping[str, Any], where: str = "the configuration") -> RunConfig:
    """A mapping -> RunConfig. Raises ConfigError for the first invalid value."""
    return checked(RunConfig, values, where, remedy="See `trainer recipes` for whole examples")


def checked(
    model: type[Model],
    values: Mapping[str, Any],
    where: str,
    sets: Sequence[str] = (),
    options: Iterable[str] = (),
    remedy: str = "",
) -> Model:
    """A mapping -> `model`. Raises ConfigError that names where the first invalid value came from.

    Args:
        where: the name of the file that the values are from.
        sets: the `--set` assignments that were laid over it.
        options: the keys that were given as options of their own name.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        path, said = explain(model, error)
        by_set = next((text for text in reversed(sets) if _is_of(path, text)), None)
        if by_set is not None:
            where = f"--set {shortened(by_set)}"
        elif path and path[0] in options:
            where = f"--{path[0]}"
        raise ConfigError(f"{where}: {said}", remedy) from None


def _is_of(path: Sequence[str], assignment: str) -> bool:
    """Whether a `--set` assignment gave the value at `path`, a part of it, or what it is a part of."""
    return all(a == b for a, b in zip(assignment.partition("=")[0].split("."), path, strict=False))


def with_sets(values: Mapping[str, Any], sets: Sequence[str]) -> dict[str, Any]:
    """The values with `--set` assignments laid over them. Raises ConfigError."""
    found = dict(values)
    for assignment in sets:
        try:
            found = merge(found, parse_set(assignment))
        except RecursionError:
            raise ConfigError(f"--set {shortened(assignment)}: it is nested too deep") from None
    return found


def parse_set(assignment: str) -> dict[str, Any]:
    """`a.b=c` -> {"a": {"b": c}}, c read as YAML."""
    key, equals, text = assignment.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set: expected key.name=value, received {quoted(assignment)}")
    try:
        nested: Any = yaml_text.read(text)
    except yaml_text.TwiceError as error:
        raise ConfigError(
            f"--set {shortened(assignment)}: the key {error.key!r} is there twice", "Leave one of them out"
        ) from None
    except (yaml.YAMLError, yaml_text.SeveralDocumentsError, ValueError):  # the last of a number too long
        nested = text
    for part in reversed(key.split(".")):
        nested = {part: nested}
    assert isinstance(nested, dict)
    return nested


def _recipe(name: Any) -> dict[str, Any]:
    known = recipes()
    if not isinstance(name, str) or name not in known:
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}"
        raise ConfigError(f"recipe: there is no recipe {quoted(name)}", hint)
    values: dict[str, Any] = yaml_text.read(known[name])
    return values


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping. Raises ConfigError."""
    try:
        values = yaml_text.read(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file", "Give the run's YAML file with --config") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: cannot be read: expected text in UTF-8") from None
    except yaml_text.TwiceError as error:
        raise ConfigError(f"{path}: {error}", "Leave one of them out") from None
    except yaml_text.SeveralDocumentsError as error:
        raise ConfigError(f"{path}: {error}", "Leave out all but one, or make files of them") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a mapping", "See `trainer recipes`")
    return values


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values with others laid over them."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            # Another optimizer does not inherit the first one's arguments.
            other = "name" in value and "name" in old and value["name"] != old["name"]
            merged[key] = value if other else merge(old, value)
        else:
            merged[key] = value
    return merged
