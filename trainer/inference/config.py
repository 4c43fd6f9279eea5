"""The configuration of a prediction job: one YAML, or the options of the command."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from trainer.config import Section
from trainer.errors import ConfigError
from trainer.runs.layout import Which


class PredictConfig(Section):
    """Classifies the images under `input` with the weights of `run`."""

    run: str = Field(description="URL of a trained run's folder")
    input: str = Field(description="URL of a prefix with images")
    output: str = Field(description="URL of the folder for the predictions")
    weights: Which = Field("best", description="which of the run's weights")
    batch_size: int = Field(64, ge=1, description="images that are classified at once")
    part_size: int = Field(1000, ge=1, description="images of a part, which is committed whole")
    max_bad_fraction: float = Field(
        0.1, ge=0, le=1, description="share of unreadable images above which the job fails"
    )


def parse(values: Mapping[str, Any], where: str = "the command") -> PredictConfig:
    """Raises ConfigError for the first invalid value."""
    try:
        return PredictConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{where}: {name}: {first['msg']}", f"Known: {', '.join(PredictConfig.model_fields)}"
        ) from None
