"""One YAML is one run: strict, and clear about what was expected and what came."""

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
    """Strict and unchangeable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Augment(Section):
    """Random changes of training images, drawn by (seed, epoch, row)."""

    flip: Literal["none", "horizontal", "vertical", "both"] = "none"
    rotate: float = Field(0, ge=0, le=180, description="degrees, either way")
    shift: float = Field(0, ge=0, lt=1, description="share of the height and of the width, either way")
    zoom: float = Field(0, ge=0, lt=1, description="share, in or out")


Monitor = Literal["loss", "accuracy", "top5_accuracy", "val_loss", "val_accuracy", "val_top5_accuracy"]
"""The figures of an epoch that something may watch."""
Standardize = Literal["none", "x/255", "x/127.5-1", "per_image", "feature_wise", "caffe", "torch"]


class Data(Section):
    url: str
    image_size: int | tuple[int, int] | None = Field(None, description="resize to this; default as stored")
    standardize: Standardize = "x/127.5-1"
    augment: Augment = Augment()


class Model(Section):
    name: str
    options: dict[str, bool | int | float | str] = {}
    weights: str = Field("none", description="to start from: none, imagenet, a run's folder or a file's URL")
    freeze: str = Field("none", description="none, backbone, depth:N or a pattern over layers' names")
    batch_norm: Literal["local", "grouped"] = "local"


class Optimizer(Section):
    """A Keras optimizer by name; the other keys are its constructor's."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: Literal["sgd", "adam", "adamw", "rmsprop", "adagrad", "nadam"] = "sgd"
    learning_rate: float = Field(0.01, gt=0)


class EarlyStopping(Section):
    monitor: Monitor = "val_accuracy"
    patience: int = Field(10, ge=0)
    min_delta: float = 0.0


class ReduceLROnPlateau(Section):
    monitor: Monitor = "val_loss"
    patience: int = Field(4, ge=0)
    factor: float = Field(0.1, gt=0, lt=1)
    min_lr: float = Field(0.0, ge=0)
    cooldown: int = Field(0, ge=0)


class Train(Section):
    epochs: int = Field(10, ge=1)
    batch_size: int = Field(256, ge=1, description="the global one, over all ranks")
    lanes: int | None = Field(None, ge=1, description="a divisor of batch_size; default the largest up to 64")
    micro_batch: int | None = Field(None, ge=1, description="lanes worked at once; default all of a rank's")
    optimizer: Optimizer = Optimizer()
    early_stopping: EarlyStopping | None = None
    reduce_lr_on_plateau: ReduceLROnPlateau | None = None
    class_weight: Literal["none", "balanced"] = "none"
    mixed_precision: bool = False
    deterministic: bool = False
    seed: int = Field(1, ge=0, lt=2**31)


class Checkpoint(Section):
    every: Every = Every(count=300, unit="seconds")
    keep_last: int = Field(3, ge=1)
    keep_every: int | None = Field(None, ge=1, description="steps; one checkpoint in each so many stays")


class Run(Section):
    url: str
    checkpoint: Checkpoint = Checkpoint()
    monitor: Monitor = Field("val_accuracy", description="what best.weights.h5 is best at")
    grace: Seconds = 60.0


class Metrics(Section):
    port: int | None = Field(None, ge=0, le=65535)
    linger: Seconds = 0.0


class RunConfig(Section):
    """Everything that one run is. See `load`."""

    data: Data
    model: Model
    train: Train = Train()
    run: Run
    metrics: Metrics = Metrics()

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
    """The ready runs: name -> YAML text."""
    folder = resources.files("trainer") / "recipes"
    return {
        entry.name.removesuffix(".yaml"): entry.read_text()
        for entry in sorted(folder.iterdir(), key=lambda e: e.name)
        if entry.name.endswith(".yaml")
    }


def load(path: Path | None = None, *, recipe: str | None = None, sets: Sequence[str] = ()) -> RunConfig:
    """The recipe's values, then the file's, then `--set a.b=c`, checked.

    Raises ConfigError that says what was expected and what came.
    """
    if not (path or recipe or sets):
        raise ConfigError("no configuration given", "Name a YAML with --config, or begin with --recipe")
    given = read_yaml(path) if path else {}
    recipe = recipe or given.pop("recipe", None)
    given.pop("recipe", None)
    values = _merge(_recipe(recipe) if recipe else {}, given)
    for assignment in sets:
        values = _merge(values, parse_set(assignment))
    return parse(values, str(path) if path else "the configuration")


def parse(values: Mapping[str, Any], where: str = "the configuration") -> RunConfig:
    """A mapping -> RunConfig. Raises ConfigError for the first thing wrong."""
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
        raise ConfigError(f"{path}: no such file", "Name the run's YAML with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a mapping", "See `trainer recipes`")
    return values


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            # Another optimizer does not inherit the first one's arguments.
            other = "name" in value and "name" in old and value["name"] != old["name"]
            merged[key] = value if other else _merge(old, value)
        else:
            merged[key] = value
    return merged


def _explain(error: ValidationError) -> str:
    wrong = error.errors()
    first = next((e for e in wrong if e["type"] == "extra_forbidden"), wrong[0])
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
