"""One training step, and one evaluation step, as functions of state and batch."""

from trainer.training.step.evaluation import EvaluationStep
from trainer.training.step.exact import ExactStep
from trainer.training.step.sums import Result, Sums
from trainer.training.step.train import TrainStep, balanced_class_weights
from trainer.training.step.variables import seed_variables
from trainer.training.step.whole_sums import WholeSums

__all__ = [
    "EvaluationStep",
    "ExactStep",
    "Result",
    "Sums",
    "TrainStep",
    "WholeSums",
    "balanced_class_weights",
    "seed_variables",
]
