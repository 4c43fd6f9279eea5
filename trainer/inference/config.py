"""The configuration of a prediction job: one YAML, or the options of the command."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from trainer.config.load import validate
from trainer.config.types import MAX_BATCH, Section, Url
from trainer.inference.forms import Form
from trainer.runs.layout import Which


class _Network(Section):
    run: Url | None = Field(None, description="URL of a trained run's folder; or `model`")
    model: str | None = Field(
        None, description="`keras:NAME`: one of keras.applications, with ImageNet's weights and classes"
    )
    weights: Which = Field("best", description="which of the run's weights")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.run is None) == (self.model is None):
            raise ValueError(
                "expected either run or model; name a trained run's folder or a network keras:NAME"
            )
        if self.model and "weights" in self.model_fields_set:
            raise ValueError(
                "expected no weights beside model, whose weights are ImageNet's; leave weights out"
            )
        return self


class FewConfig(_Network):
    """Classifies a few images."""

    allow_private: bool = Field(False, description="also read http(s) URLs at addresses of private networks")


class PredictMetricsSection(Section):
    """The endpoint for Prometheus."""

    port: int | None = Field(
        None, ge=0, le=65535, description="of /metrics of each worker; 0 for a free one, null for none"
    )


class PredictConfig(_Network):
    """Classifies the images under `input`."""

    input: Url = Field(
        description="URL of a prefix with images, of a dataset, or of a list (.txt: a path or URL a line)"
    )
    split: str | None = Field(None, description="of a dataset; none for images that are files")
    output: Url = Field(description="URL of the folder for the predictions")
    batch_size: int = Field(64, ge=1, le=MAX_BATCH, description="images that are classified at once")
    part_size: int = Field(1000, ge=1, le=1_000_000, description="images of a part, which is committed whole")
    format: Form = Field(
        "jsonl",
        description="of the predictions: JSON Lines, CSV, Parquet (needs pyarrow), or JSON Lines and, at the "
        "end, one JSON list of all",
    )
    extend: bool = Field(False, description="also predict images that came after the first start")
    allow_private: bool = Field(False, description="also read http(s) URLs at addresses of private networks")
    max_bad_fraction: float = Field(
        0.1, ge=0, le=1, description="share of images that cannot be read above which the job fails"
    )
    metrics: PredictMetricsSection = PredictMetricsSection()


def parse(
    values: Mapping[str, Any],
    where: str = "the command",
    sets: Sequence[str] = (),
    options: Iterable[str] = (),
) -> PredictConfig:
    """Raises ConfigError for the first invalid value; the arguments are those of `config.load.checked`."""
    known = f"Known: {', '.join(PredictConfig.model_fields)}"
    return validate(PredictConfig, values, where, sets, options, remedy=known)


def parse_few(
    values: Mapping[str, Any], where: str, sets: Sequence[str], options: Iterable[str]
) -> FewConfig:
    """As `parse`, for a few images by name."""
    known = f"Known: {', '.join(FewConfig.model_fields)}"
    return validate(FewConfig, values, where, sets, options, remedy=known)
