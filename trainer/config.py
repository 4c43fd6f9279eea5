"""The configuration of a run: one YAML, checked strictly."""

import difflib
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from trainer.errors import ConfigError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(value: Any) -> Any:
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", value)
        if not match:
            raise ValueError(f"expected a duration such as 30s, 5m or 2h, received {value!r}")
        return float(match[1]) * _SECONDS[match[2]]
    return value


Seconds = Annotated[float, BeforeValidator(_duration), Field(ge=0)]
"""Seconds as a number, or `30s`, `5m`, `2h`, `1d`."""


class Every(BaseModel):
    """How often: written `5m`, `100 steps` or `2 epochs`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    count: float = Field(gt=0)
    unit: Literal["seconds", "steps", "epochs"]

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if match := re.fullmatch(r"\s*(\d+)\s*(step|epoch)s?\s*", value):
            return {"count": int(match[1]), "unit": f"{match[2]}s"}
        try:
            return {"count": _duration(value), "unit": "seconds"}
        except ValueError:
            raise ValueError(f"expected 5m, 100 steps or 1 epoch, received {value!r}") from None


class Section(BaseModel):
    """A part of the configuration: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AugmentSection(Section):
    """Random changes of training images, drawn by (seed, epoch, row)."""

    flip: Literal["none", "horizontal", "vertical", "both"] = Field(
        "none", description="mirror half of the images"
    )
    rotate: float = Field(0, ge=0, le=180, description="up to so many degrees, either way")
    shift: float = Field(0, ge=0, lt=1, description="up to this share of the height and width, either way")
    zoom: float = Field(0, ge=0, lt=1, description="up to this share, in or out")


Monitor = Literal["loss", "accuracy", "top5_accuracy", "val_loss", "val_accuracy", "val_top5_accuracy"]
"""The metrics of an epoch that can be monitored."""
Standardize = Literal["none", "x/255", "x/127.5-1", "per_image", "feature_wise", "caffe", "torch"]


class DataSection(Section):
    """The dataset, and what happens to its images before the network sees them."""

    url: str = Field(description="the dataset: the prefix that `trainer prepare` filled")
    image_size: int | tuple[int, int] | None = Field(
        None, description="resize to this size, or to this height and width; default as stored"
    )
    standardize: Standardize = Field(
        "x/127.5-1",
        description="applied alike in training, evaluation and prediction; `caffe` and `torch` as in "
        "keras.applications, `feature_wise` by the mean and deviation of the training images",
    )
    augment: AugmentSection = AugmentSection()


class ModelSection(Section):
    """The network and its starting weights."""

    name: str = Field(description="one of the networks of trainer/models")
    options: dict[str, bool | int | float | str] = Field({}, description="the network's own options")
    weights: str = Field(
        "none", description="starting weights: none, imagenet, a run's folder or the URL of a file"
    )
    freeze: str = Field("none", description="none, backbone, depth:N or a pattern over layer names")
    batch_norm: Literal["local", "grouped"] = Field(
        "local", description="over a rank's rows, or over groups of train.micro_batch lanes"
    )


class OptimizerSection(Section):
    """A Keras optimizer by name; any other key is an argument of its constructor."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: Literal["sgd", "adam", "adamw", "rmsprop", "adagrad", "nadam"] = Field(
        "sgd", description="the optimizer of keras.optimizers"
    )
    learning_rate: float = Field(0.01, gt=0, description="the initial learning rate")


class EarlyStoppingSection(Section):
    """keras.callbacks.EarlyStopping."""

    monitor: Monitor = Field("val_accuracy", description="the metric")
    patience: int = Field(10, ge=0, description="epochs without an improvement before training stops")
    min_delta: float = Field(0.0, description="the least change that counts as an improvement")


class ReduceLROnPlateauSection(Section):
    """keras.callbacks.ReduceLROnPlateau."""

    monitor: Monitor = Field("val_loss", description="the metric")
    patience: int = Field(4, ge=0, description="epochs without an improvement before the rate is reduced")
    factor: float = Field(0.1, gt=0, lt=1, description="the learning rate is multiplied by this")
    min_lr: float = Field(0.0, ge=0, description="the lowest learning rate")
    cooldown: int = Field(0, ge=0, description="epochs after a reduction in which nothing is counted")


class TrainSection(Section):
    """How the network is trained."""

    epochs: int = Field(10, ge=1, description="epochs of the whole run")
    batch_size: int = Field(256, ge=1, description="the global batch, over all ranks")
    lanes: int | None = Field(
        None,
        ge=1,
        description="the fixed streams of rows that ranks share, and so the most ranks; a divisor of "
        "batch_size; default the largest up to 64",
    )
    micro_batch: int | None = Field(
        None, ge=1, description="lanes that are computed at once; default all of a rank's"
    )
    optimizer: OptimizerSection = OptimizerSection()
    early_stopping: EarlyStoppingSection | None = Field(None, description="none, or its options")
    reduce_lr_on_plateau: ReduceLROnPlateauSection | None = Field(None, description="none, or its options")
    class_weight: Literal["none", "balanced"] = Field(
        "none", description="balanced: each class counts alike, however many rows it has"
    )
    mixed_precision: bool = Field(False, description="compute in float16, with loss scaling")
    deterministic: bool = Field(
        False, description="the same bits in every run at the same number of ranks; slower on GPUs"
    )
    seed: int = Field(1, ge=0, lt=2**31, description="of weights, order, augmentation and dropout")


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

    url: str = Field(description="the run's own folder; where a run was begun, it is resumed")
    checkpoint: CheckpointSection = CheckpointSection()
    monitor: Monitor = Field("val_accuracy", description="the metric that decides which weights are best")
    grace: Seconds = Field(60.0, description="time to save a last checkpoint after SIGTERM")


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
    run: RunSection
    metrics: MetricsSection = MetricsSection()

    @model_validator(mode="after")
    def _lanes_divide(self) -> "RunConfig":
        train = self.train
        if train.lanes and train.batch_size % train.lanes:
            divisors = [d for d in range(1, train.batch_size + 1) if train.batch_size % d == 0]
            near = min(divisors, key=lambda d: abs(d - (train.lanes or 1)))
            raise ValueError(
                f"train.lanes: expected a divisor of train.batch_size {train.batch_size}, "
                f"received {train.lanes}; the nearest is {near}"
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
    values = merge(_recipe(recipe) if recipe else {}, given)
    for assignment in sets:
        values = merge(values, parse_set(assignment))
    return parse(values, str(path) if path else "the configuration")


def parse(values: Mapping[str, Any], where: str = "the configuration") -> RunConfig:
    """A mapping -> RunConfig. Raises ConfigError for the first invalid value."""
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_explain(error)}", "See `trainer recipes` for whole examples") from None


def parse_set(assignment: str) -> dict[str, Any]:
    """`a.b=c` -> {"a": {"b": c}}, c read as YAML."""
    key, equals, text = assignment.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set: expected key.name=value, received {assignment!r}")
    try:
        nested: Any = yaml.safe_load(text)
    except yaml.YAMLError:
        nested = text
    for part in reversed(key.split(".")):
        nested = {part: nested}
    assert isinstance(nested, dict)
    return nested


def _recipe(name: str) -> dict[str, Any]:
    known = recipes()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}"
        raise ConfigError(f"recipe: there is no recipe {name!r}", hint)
    values: dict[str, Any] = yaml.safe_load(known[name])
    return values


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping. Raises ConfigError."""
    try:
        values = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file", "Give the run's YAML file with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
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


def _explain(error: ValidationError) -> str:
    errors = error.errors()
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    path = [str(part) for part in first["loc"]]
    where = ".".join(path)
    if first["type"] == "extra_forbidden":
        known = _known_keys(path[:-1])
        near = difflib.get_close_matches(path[-1], known, n=1)
        return f"unknown key {where!r}; " + (
            f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        )
    if first["type"] == "missing":
        return f"{where} is missing"
    if first["type"] == "value_error":
        message = first["msg"].removeprefix("Value error, ")
        return f"{where}: {message}" if where else message
    return f"{where}: {first['msg'][0].lower()}{first['msg'][1:]}, received {first['input']!r}"


def _known_keys(path: Sequence[str]) -> list[str]:
    section: Any = RunConfig
    for part in path:
        annotation = section.model_fields[part].annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        section = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return list(section.model_fields)
