"""The whole configuration, and the checks across its sections."""

from typing import Any

from pydantic import (
    model_validator,
)

from trainer.config.applications import APPLICATIONS
from trainer.config.exact_runs import check_exact
from trainer.config.phases import TrainingPhase, check_phases, phases_of
from trainer.config.run_sections import MetricsSection, RunSection
from trainer.config.sections import DataSection, DistributionSection, ModelSection, TrainSection
from trainer.config.types import Section


class RunConfig(Section):
    """The configuration of one run. See `load`."""

    data: DataSection
    model: ModelSection
    train: TrainSection = TrainSection()
    distribution: DistributionSection = DistributionSection()
    run: RunSection
    metrics: MetricsSection = MetricsSection()

    @property
    def phases(self) -> tuple[TrainingPhase, ...]:
        """The phases of the run: a single one without `train.phases`."""
        return phases_of(self.train, self.model.freeze)

    @model_validator(mode="before")
    @classmethod
    def _standardize_as_the_network_expects(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        data, model = values.get("data"), values.get("model")
        if not (isinstance(data, dict) and isinstance(model, dict)) or "standardize" in data:
            return values
        name = model.get("name")
        if not isinstance(name, str) or name not in APPLICATIONS:
            return values
        return values | {"data": data | {"standardize": APPLICATIONS[name]}}

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
        check_phases(train, self.phases)
        if self.data.standardize == "zca" and self.model.weights == "imagenet":
            raise ValueError(
                "data.standardize: zca does not work with model.weights imagenet, which expect images as "
                "they were trained on: remove data.standardize or model.weights"
            )
        if train.audit and not train.deterministic:
            raise ValueError("train.audit: needs reproducible steps: set train.deterministic: true")
        if train.audit and self.distribution.strategy == "mirrored":
            raise ValueError(
                "train.audit: compares ranks, of which mirrored has one: set distribution.strategy: horovod"
            )
        if train.exact:
            check_exact(
                deterministic=train.deterministic,
                micro_batch=train.micro_batch,
                exchange=self.distribution.exchange,
            )
        if self.model.batch_norm == "grouped" and not train.micro_batch:
            raise ValueError("model.batch_norm: grouped needs train.micro_batch, the lanes of a group")
        return self
