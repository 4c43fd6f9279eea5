"""The configuration of a prediction job: one YAML, or the options of the command."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from trainer.config import MAX_BATCH, Section, Url, checked
from trainer.runs.layout import Which


class FewConfig(Section):
    """Classifies a few images with the weights of `run`."""

    run: Url = Field(description="URL of a trained run's folder")
    weights: Which = Field("best", description="which of the run's weights")
    allow_private: bool = Field(False, description="also read http(s) URLs at addresses of private networks")


class PredictConfig(Section):
    """Classifies the images under `input` with the weights of `run`."""

    run: Url = Field(description="URL of a trained run's folder")
    input: Url = Field(
        description="URL of a prefix with images, of a dataset, or of a list (.txt: a path or URL a line)"
    )
    split: str | None = Field(None, description="of a dataset; none for images that are files")
    output: Url = Field(description="URL of the folder for the predictions")
    weights: Which = Field("best", description="which of the run's weights")
    batch_size: int = Field(64, ge=1, le=MAX_BATCH, description="images that are classified at once")
    part_size: int = Field(1000, ge=1, le=1_000_000, description="images of a part, which is committed whole")
    format: Literal["jsonl", "csv"] = Field("jsonl", description="of the predictions: JSON Lines or CSV")
    extend: bool = Field(False, description="also predict images that came after the first start")
    allow_private: bool = Field(False, description="also read http(s) URLs at addresses of private networks")
    max_bad_fraction: float = Field(
        0.1, ge=0, le=1, description="share of images that cannot be read above which the job fails"
    )


def parse(
    values: Mapping[str, Any],
    where: str = "the command",
    sets: Sequence[str] = (),
    options: Iterable[str] = (),
) -> PredictConfig:
    """Raises ConfigError for the first invalid value; the arguments are those of `trainer.config.checked`."""
    known = f"Known: {', '.join(PredictConfig.model_fields)}"
    return checked(PredictConfig, values, where, sets, options, remedy=known)


def parse_few(
    values: Mapping[str, Any], where: str, sets: Sequence[str], options: Iterable[str]
) -> FewConfig:
    """As `parse`, for a few images by name."""
    known = f"Known: {', '.join(FewConfig.model_fields)}"
    return checked(FewConfig, values, where, sets, options, remedy=known)
