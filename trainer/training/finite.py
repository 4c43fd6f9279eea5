"""Checks that weights and metrics are finite, before they are kept or published."""

from collections.abc import Mapping

import keras
import numpy as np

from trainer.errors import RunError


class Diverged(RunError):
    """Gradients, weights or metrics are not finite. Raised by every rank, or by the chief before it saves."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"training diverged: {problem}; no checkpoint was written from this step",
            "Lower train.optimizer.learning_rate; if there is a checkpoint already, in a new run.url that "
            "starts from its weights: model.weights takes a run's folder, or a file of "
            "`trainer weights RUN FILE --step N`",
        )


def check_metrics(metrics: Mapping[str, float], epoch: int) -> None:
    """Raises Diverged for a metric that is not finite; `epoch` counts from 0."""
    for name, value in metrics.items():
        if not np.isfinite(value):
            raise Diverged(f"{name} of epoch {epoch + 1} is {value}")


def check_array(name: str, array: np.ndarray) -> None:
    """Raises Diverged where a number of `array`, the variable `name`, is not finite."""
    if np.issubdtype(array.dtype, np.inexact) and not np.isfinite(array).all():
        raise Diverged(f"{name} has values that are not finite")


def check_weights(model: keras.Model) -> None:
    """Raises Diverged for weights or statistics that are not finite."""
    for variable in model.weights:
        check_array(variable.path, np.asarray(variable.numpy()))
