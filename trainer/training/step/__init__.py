"""One training step, and one evaluation step, as functions of state and batch."""

from trainer.training.step.evaluation import EvaluationStep
from trainer.training.step.sums import Result, Sums
from trainer.training.step.train import TrainStep, balanced_class_weights
from trainer.training.step.variables import seed_variables

__all__ = ["EvaluationStep", "Result", "Sums", "TrainStep", "balanced_class_weights", "seed_variables"]
