"""The compiled steps of a network, in each phase of its run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from trainer.config.phases import TrainingPhase
from trainer.distribution import Distribution
from trainer.models.freeze import freeze
from trainer.training.data import RankData
from trainer.training.learning_rate import LearningRateSchedule
from trainer.training.run_plan import RunPlan
from trainer.training.setup.build_network import compile_phase, uses_xla
from trainer.training.step import EvaluationStep, ExactStep, TrainStep, balanced_class_weights


@dataclass
class TrainedNetwork:
    """The network of a run, its optimizer, and their compiled steps. Each phase has its own functions of
    TensorFlow, which are traced once.

    Attributes:
        phase: that the network is compiled for, counted from 0.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    phase: int = 0
    step: TrainStep | None = None
    evaluation: EvaluationStep | None = None

    def enter(self, plan: RunPlan, distribution: Distribution, phase: int) -> None:
        """Compiles the network for a phase, with a new optimizer, unless it is in that phase already."""
        if phase == self.phase:
            return
        name = getattr(self.optimizer, "inner_optimizer", self.optimizer).name
        with distribution.scope():
            self.optimizer = compile_phase(plan, self.model, plan.phases[phase], name)
        self.phase, self.step, self.evaluation = phase, None, None

    def steps(
        self,
        plan: RunPlan,
        distribution: Distribution,
        data: RankData,
        exponents: Sequence[int] | None = None,
    ) -> tuple[TrainStep, EvaluationStep]:
        """The steps of this rank in the current phase. `exponents`: those that an exact run resumes with."""
        if self.step is None or self.evaluation is None:
            phase = plan.phases[self.phase]
            self.step = make_step(plan, distribution, data, self.model, self.optimizer, exponents, phase)
            self.evaluation = make_evaluation(plan, distribution, self.model)
        return self.step, self.evaluation

    def evaluation_of(self, plan: RunPlan, distribution: Distribution, phase: int) -> EvaluationStep:
        """The evaluation of another phase, after the last step: the loss has no penalties of weights that the
        phase has frozen."""
        freeze(self.model, plan.phases[phase].freeze)
        return make_evaluation(plan, distribution, self.model)


def make_evaluation(plan: RunPlan, distribution: Distribution, model: keras.Model) -> EvaluationStep:
    """The evaluation of this rank, with the layers that are frozen now."""
    train = plan.config.train
    return EvaluationStep(model, distribution, train.label_smoothing, xla=uses_xla(train), exact=train.exact)


def make_step(
    plan: RunPlan,
    distribution: Distribution,
    data: RankData,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    exponents: Sequence[int] | None = None,
    phase: TrainingPhase | None = None,
) -> TrainStep:
    """The step of this rank in a phase, the first where none is given. `exponents`: those that an exact run
    resumes with."""
    options: dict[str, Any] = {
        "batch_size": plan.config.train.batch_size,
        "micro_rows": plan.micro_rows,
        "micro_lanes": plan.micro_lanes,
        "first_lane": data.lanes.start,
        "seed": plan.config.train.seed,
        "class_weights": _class_weights(plan),
        "label_smoothing": plan.config.train.label_smoothing,
        "schedule": LearningRateSchedule(phase or plan.phases[0], plan.steps_per_epoch),
        "xla": uses_xla(plan.config.train),
    }
    if not plan.config.train.exact:
        dtype = plan.config.distribution.exchange
        return TrainStep(model, optimizer, distribution, exchange_dtype=dtype, **options)
    step = ExactStep(model, optimizer, distribution, groups=plan.lanes // plan.micro_lanes, **options)
    step.resume(exponents)
    return step


def _class_weights(plan: RunPlan) -> np.ndarray | None:
    split = plan.split("train")
    if plan.config.train.class_weight == "none" or split is None:
        return None
    return balanced_class_weights(np.bincount(split.labels, minlength=len(plan.dataset.classes)))
