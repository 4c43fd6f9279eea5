"""The sections of a configuration that say where a run is kept, and how it is watched."""

from typing import Annotated

from pydantic import Field

from trainer.config.types import Every, Monitor, Seconds, Section, Url


class CheckpointSection(Section):
    """When checkpoints are saved, and which of them are kept."""

    every: Every = Field(
        Every(count=300, unit="seconds"),
        description="a duration, `100 steps`, `1 epoch`, or `continuous`: each once the last one is stored",
    )
    keep_last: int = Field(3, ge=1, description="number of newest checkpoints to keep")
    keep_every: int | None = Field(None, ge=1, description="keep one checkpoint per N steps permanently")


class PriceSection(Section):
    """What the report calculates the cost of a run by."""

    currency: str = Field("USD", min_length=1, max_length=8, description="the unit of both prices")
    gpu_hour: float = Field(0.0, ge=0, description="price of an hour of one GPU")
    core_hour: float = Field(0.0, ge=0, description="price of an hour of one CPU core")


class RunSection(Section):
    """The run's folder, and what is saved there."""

    url: Url = Field(description="folder of the run; a run that was started there is resumed")
    checkpoint: CheckpointSection = CheckpointSection()
    monitor: Monitor = Field("val_accuracy", description="metric that decides which weights are best")
    tensorboard: bool = Field(
        False, description="write the metrics of each epoch for `tensorboard --logdir <run.url>/tensorboard`"
    )
    price: PriceSection | None = Field(
        None, description="prices, by which the report states what the run has cost; null: only the hours"
    )
    grace: Seconds = Field(60.0, description="time to save a last checkpoint after SIGTERM")
    stall_timeout: Annotated[Seconds, Field(ge=1)] | None = Field(
        300.0,
        description="time without progress after which ranks that block the others are killed, and training "
        "resumes; six times as long for a first step, loading and saving, and twice the longest step where "
        "that is more; null: never",
    )


class MetricsSection(Section):
    """The endpoint for Prometheus."""

    port: int | None = Field(
        None, ge=0, le=65535, description="port of /metrics, /healthz and /readyz; 0: a free one, null: none"
    )
    linger: Seconds = Field(
        0.0, description="time that a finished run waits for its last metrics to be scraped"
    )
