"""What a run's phases are made of on one rank: frozen layers, an optimizer, a step and an evaluation."""

from collections.abc import Sequence
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


class Phases:
    """Puts a network into the phases of a run, counted from 0. Each has its own functions of TensorFlow,
    which are traced once.

    `optimizer`: of the first phase, for which the network was built.
    """

    def __init__(
        self,
        plan: RunPlan,
        distribution: Distribution,
        data: RankData,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
    ) -> None:
        self._plan, self._distribution, self._data, self._model = plan, distribution, data, model
        self._optimizer, self._number = optimizer, 0

    def optimizer(self, number: int) -> keras.optimizers.Optimizer:
        """The optimizer of a phase, for which the network is then compiled; its state is new, unless the
        network is in that phase already."""
        if number != self._number:
            name = getattr(self._optimizer, "inner_optimizer", self._optimizer).name
            with self._distribution.scope():
                self._optimizer = compile_phase(self._plan, self._model, self._plan.phases[number], name)
            self._number = number
        return self._optimizer

    def step(self, number: int, exponents: Sequence[int] | None = None) -> TrainStep:
        """The step of a phase. `exponents`: those that an exact run resumes with."""
        optimizer, phase = self.optimizer(number), self._plan.phases[number]
        return make_step(self._plan, self._distribution, self._data, self._model, optimizer, exponents, phase)

    def evaluation(self, number: int) -> EvaluationStep:
        """The evaluation of a phase, with which the network is left: the loss has no penalties of weights
        that it has frozen."""
        if number != self._number:
            freeze(self._model, self._plan.phases[number].freeze)
        train = self._plan.config.train
        return EvaluationStep(
            self._model, self._distribution, train.label_smoothing, xla=uses_xla(train), exact=train.exact
        )


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
