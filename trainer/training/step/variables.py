"""Which of a network's variables a step exchanges, and which it sets."""

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.errors import ConfigError
from trainer.models.freeze import frozen_variables


class StepVariables:
    """A network's variables as a step sees them.

    Attributes:
        trained: those with gradients.
        statistics: those that a forward pass changes by the rows it sees, as a batch norm's do.
        shapes, sizes: of what a flat vector holds of both, in that order.
        unconnected: places in `trained` of those that the loss does not depend on, once a step was traced.
    """

    def __init__(self, model: keras.Model) -> None:
        seeds = {id(v) for v in seed_variables(model)}
        still = seeds | frozen_variables(model)
        self.others = model.non_trainable_variables
        self._seeded = [id(v) in seeds for v in self.others]
        self._changing = [
            i for i, v in enumerate(self.others) if id(v) not in still and v.dtype.startswith("float")
        ]
        self.trained = model.trainable_variables
        self.statistics = [self.others[i] for i in self._changing]
        self.shapes = [tuple(v.shape) for v in (*self.trained, *self.statistics)]
        self.sizes = [int(np.prod(shape)) for shape in self.shapes]
        self.unconnected: frozenset[int] = frozenset()

    @property
    def gradients_size(self) -> int:
        """How many numbers all gradients are."""
        return sum(self.sizes[: len(self.trained)])

    def trained_values(self) -> list[tf.Tensor]:
        """This replica's copies."""
        return [tf.convert_to_tensor(v.value) for v in self.trained]

    def other_values(self, seeds: tf.Tensor) -> list[tf.Tensor]:
        """This replica's copies of the others; `seeds` (n,) int64 are the states of the random generators."""
        values, used = [], 0
        for variable, seeded in zip(self.others, self._seeded, strict=True):
            if seeded:
                values.append(tf.cast(tf.stack([seeds[used], 0]), variable.dtype))
                used += 1
            else:
                values.append(tf.convert_to_tensor(variable.value))
        return values

    def connected(self, gradients: list[tf.Tensor | None]) -> list[tf.Tensor]:
        """The gradients of `trained`, with zeros where there is none, as before keras.ops.stop_gradient.

        Raises ConfigError where there is none at all.
        """
        if gradients and all(gradient is None for gradient in gradients):
            raise ConfigError(
                "model.name: expected a network whose weights can be trained: no gradient reaches them",
                "Look for what stops it, as keras.ops.stop_gradient does",
            )
        self.unconnected = frozenset(i for i, gradient in enumerate(gradients) if gradient is None)
        return [
            tf.zeros(shape) if gradient is None else gradient
            for gradient, shape in zip(gradients, self.shapes, strict=False)
        ]

    def changes(self, before: list[tf.Tensor], after: list[tf.Tensor]) -> list[tf.Tensor]:
        """The changes of the statistics."""
        return [after[i] - before[i] for i in self._changing]

    def seeds(self, seed: int, number: int, lane: int) -> NDArray[np.int64]:
        """(n,): the states of the random generators, a function of (seed, step, lane) alone."""
        count = max(sum(self._seeded), 1)
        drawn = np.random.SeedSequence([seed, number, lane]).generate_state(count, np.uint32)
        return (drawn >> 1).astype(np.int64)


def seed_variables(model: keras.Model) -> list[keras.Variable]:
    """The states of the model's random generators (dropout and the like)."""
    weights = {id(v) for v in model.weights}
    return [v for v in model.variables if id(v) not in weights and "seed_generator" in v.path]
