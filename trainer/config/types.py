"""The types of values: durations, sizes, URLs, how often."""

import os
import re
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from trainer.config import optimizers
from trainer.config.explain import quoted
from trainer.errors import ConfigError
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
"""The URL of an object store, or a path, which is made absolute; see trainer/urls.py."""


NO_URLS = {"none", "imagenet"}
"""Values of model.weights that are not URLs."""


WeightsUrl = Annotated[str, AfterValidator(lambda value: value if value in NO_URLS else _url(value))]


Folder = Annotated[
    str, Field(min_length=1), AfterValidator(lambda value: os.path.abspath(os.path.expanduser(value)))
]
"""A folder of this machine, which is made absolute."""


Layers = Annotated[str, Field(min_length=1)]
"""Layers of a network: see trainer/models/freeze.py."""


Freeze = Layers | Annotated[list[Layers], Field(min_length=1)]


Pixels = Annotated[int, Field(ge=1, le=8192)]
"""A height or a width."""


Fraction = Annotated[float, BeforeValidator(optimizers.refuse_bool), Field(ge=0, lt=1)]
"""A part of a height or a width."""


Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]


Switch = Annotated[
    Literal["auto", "on", "off"],
    BeforeValidator(lambda value: ("on" if value else "off") if isinstance(value, bool) else value),
    WithJsonSchema({"enum": ["auto", "on", "off", True, False]}),
]
"""`on` and `off` are true and false to YAML."""


def as_number(value: Any) -> Any:
    """1e-3, which is text to YAML 1.1, as a number."""
    exponent = isinstance(value, str) and re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+", value)
    return float(value) if exponent else value


Factor = Annotated[
    float,
    BeforeValidator(optimizers.refuse_bool),
    BeforeValidator(as_number),
    Field(gt=0, le=1000),
]


MAX_BATCH = 2**20


_EXPECTED_EVERY = "expected 5m, 100 steps, 1 epoch or continuous"


class Every(BaseModel):
    """How often: written `5m`, `100 steps`, `2 epochs`, or `continuous`: as soon as the last time is over."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    count: float = Field(gt=0, le=1e9)
    unit: Literal["seconds", "steps", "epochs", "continuous"]

    def describe(self) -> str:
        """ "every 300 seconds", "continuously"."""
        return "continuously" if self.unit == "continuous" else f"every {self.count:g} {self.unit}"

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        if isinstance(value, dict | cls):
            return value
        if not isinstance(value, str):
            raise ValueError(f"{_EXPECTED_EVERY}, received {quoted(value)}")
        if value.strip() == "continuous":
            return {"count": 1, "unit": "continuous"}
        if match := re.fullmatch(r"\s*(\d+)\s*(step|epoch)s?\s*", value):
            return {"count": int(match[1]), "unit": f"{match[2]}s"}
        try:
            return {"count": _duration(value), "unit": "seconds"}
        except ValueError:
            raise ValueError(f"{_EXPECTED_EVERY}, received {quoted(value)}") from None


class Section(BaseModel):
    """A part of the configuration: unknown keys are errors, numbers are finite, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_booleans_as_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = _kinds(cls.model_fields[info.field_name or ""].annotation)
        number = (int in kinds or float in kinds) and bool not in kinds
        return optimizers.refuse_bool(value) if number else value


def _kinds(annotation: Any) -> list[Any]:
    """The plain types in an annotation."""
    inner = get_args(annotation)
    return [kind for part in inner for kind in _kinds(part)] if inner else [annotation]


Monitor = Literal["loss", "accuracy", "top5_accuracy", "val_loss", "val_accuracy", "val_top5_accuracy"]
"""The metrics of an epoch that can be monitored."""


Mode = Literal["auto", "min", "max"]


Standardize = Literal["none", "x/255", "x/127.5-1", "per_image", "feature_wise", "zca", "caffe", "torch"]


_MONITORED = "metric to monitor; without a validation split the training metric of that name"
