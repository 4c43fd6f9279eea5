"""The configuration of a prediction job: one YAML, or the options of the command."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from trainer.config.load import validate
from trainer.config.types import MAX_BATCH, Section, Url
from trainer.inference.forms import PredictionFormat
from trainer.runs.layout import WeightsName


class _Network(Section):
    run: Url | None = Field(None, description="folder of a trained run; or `model`")
    model: str | None = Field(
        None, description="`keras:NAME`: one of keras.applications, with ImageNet weights and classes"
    )
    weights: WeightsName = Field("best", description="weights of the run")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.run is None) == (self.model is None):
            raise ValueError(
                "expected either run or model: the folder of a trained run, or a network keras:NAME"
            )
        if self.model and "weights" in self.model_fields_set:
            raise ValueError("expected no weights beside model, which has ImageNet weights; remove weights")
        return self


class FewConfig(_Network):
    """Classifies a few images."""

    allow_private: bool = Field(False, description="also read http(s) URLs at addresses of private networks")


class PredictMetricsSection(Section):
    """The endpoint for Prometheus."""

    port: int | None = Field(
        None, ge=0, le=65535, description="port of /metrics of each worker; 0: a free one, null: none"
    )


class PredictConfig(_Network):
    """Classifies the images under `input`."""

    input: Url = Field(
        description="URL of a prefix with images, of a dataset, or of a list (.txt: one path or URL per line)"
    )
    split: str | None = Field(None, description="split to predict, if input is a dataset")
    output: Url = Field(description="URL of the folder for the predictions")
    batch_size: int = Field(64, ge=1, le=MAX_BATCH, description="images per batch")
    part_size: int = Field(
        1000, ge=1, le=1_000_000, description="images per part; a part is committed as a whole"
    )
    format: PredictionFormat = Field(
        "jsonl",
        description="format of the predictions: JSON Lines, CSV, Parquet (needs pyarrow), or json: JSON "
        "Lines and, at the end, one JSON list of all",
    )
    extend: bool = Field(False, description="also predict images added since the job first ran")
    allow_private: bool = Field(False, description="also read http(s) URLs at addresses of private networks")
    max_bad_fraction: float = Field(
        0.1, ge=0, le=1, description="fail if more than this fraction of the images cannot be read"
    )
    metrics: PredictMetricsSection = PredictMetricsSection()


def parse(
    values: Mapping[str, Any],
    where: str = "the command",
    overrides: Sequence[str] = (),
    options: Iterable[str] = (),
) -> PredictConfig:
    """Raises ConfigError for the first invalid value; the arguments are those of `config.load.validate`."""
    known = f"Known: {', '.join(PredictConfig.model_fields)}"
    return validate(PredictConfig, values, where, overrides, options, remedy=known)


def parse_few(
    values: Mapping[str, Any], where: str, overrides: Sequence[str], options: Iterable[str]
) -> FewConfig:
    """Does the same as `parse`, for a few images by name."""
    known = f"Known: {', '.join(FewConfig.model_fields)}"
    return validate(FewConfig, values, where, overrides, options, remedy=known)
