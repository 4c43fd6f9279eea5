"""A training step with the same bits on any number of ranks, replicas and orders of summation.

Each group of lanes is computed by one compiled function in one shape. What it gives is turned into whole
numbers before the first addition; these are summed over groups, replicas and ranks, and turned back once.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.errors import DataError, RunError
from trainer.training.step.fixed_point import Exponents, first_exponents, following, limit, widened
from trainer.training.step.train import TrainStep
from trainer.training.step.whole_numbers import quantised, turned_back

_TRIES = 3
"""How often a step is computed at most. The second try fits, unless a device computes other numbers then."""
_COUNTS = 3
"""Correct, top-5 and rows: whole numbers already."""
_FLAGS = 4
"""What ends the exchanged vector: groups in which something does not fit, groups with gradients that are not
finite, groups with statistics or a loss that are not finite, votes to stop."""


class Flags(NamedTuple):
    """See `_FLAGS`: whole numbers, over all groups."""

    unfit: int
    nonfinite_gradients: int
    nonfinite_rest: int
    votes: int


class ExactStep(TrainStep):
    """Computes what `TrainStep` does, whose arguments it takes. What is exchanged is flat int64: gradients,
    statistics' changes and the loss, each times two to its variable's exponent, what is counted, each
    variable's largest magnitude, and `Flags`.

    A step in which something does not fit is computed once more with wider exponents, on every rank, since
    all see it in the sums. Nothing is assigned before.

    Attributes:
        exponents: (variables,) int32, those of the next step; the gradients', the statistics', the loss's.
    """

    def __init__(self, *network: Any, groups: int, **options: Any) -> None:
        """`groups`: of a step, over all ranks."""
        super().__init__(*network, **options)
        own = self.variables
        self.groups, self.limit = groups, limit(groups)
        self.sizes = [*own.sizes, 1]
        self.exponents: Exponents = first_exponents(len(self.sizes))
        self._group = tf.function(self._whole_numbers, jit_compile=self.xla, autograph=False)
        self._groups = tf.function(self._groups_on_replicas, jit_compile=False, autograph=False)
        self._nothing = tf.function(self._zeros_on_replicas, jit_compile=False, autograph=False)
        self._sum = tf.function(self._summed, jit_compile=False, autograph=False)
        self._assign = tf.function(self._turn_back_and_update, jit_compile=False, autograph=False)

    def resume(self, exponents: Sequence[int] | None) -> None:
        """Takes the exponents of a restored state; None in a new run.

        Raises DataError for another network's.
        """
        if exponents is None:
            self.exponents = first_exponents(len(self.sizes))
            return
        if len(exponents) != len(self.sizes):
            raise DataError(
                f"the checkpoint is another network's: expected exponents of {len(self.sizes)} variables, "
                f"found {len(exponents)}",
                "Use the code and configuration that it was saved with, or a new run.url",
            )
        self.exponents = np.asarray(exponents, np.int32)

    def __call__(
        self,
        number: int,
        images: tf.Tensor,
        labels: tf.Tensor,
        weights: tf.Tensor,
        stop: bool,
        check: Callable[[tf.Tensor], None] | None = None,
    ) -> tf.Tensor:
        exponents, batch = self.exponents, (images, labels, weights)
        for _ in range(_TRIES):
            whole, largest = self._of_rank(number, batch, stop, exponents, check)
            check = None
            summed = self._sum(whole)
            flags = Flags(*summed[-_FLAGS:].numpy().tolist())
            if not self._again(flags):
                break
            exponents = widened(exponents, self._largest_of_all(largest), self.groups)
        else:
            raise RunError(
                f"step {number} was computed {_TRIES} times, each time with other numbers",
                "Set train.xla: off; if it happens again, have the device tested",
            )
        result = self._assign(summed, _scales(exponents))
        largest_sums = summed[-_FLAGS - len(self.sizes) : -_FLAGS].numpy()
        self.exponents = following(exponents, largest_sums, self.groups)
        return result

    def first_part(
        self, number: int, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, *, first_lane: int
    ) -> tf.Tensor:
        """Returns what `TrainStep.first_part` does, of the first group: flat int64."""
        votes = tf.zeros(self.distribution.replicas)
        rows = self.micro_rows * self.distribution.replicas
        seeds = self._seeds(number, first_lane)
        batch = images[:rows], labels[:rows], weights[:rows]
        return self._groups(*batch, seeds, votes, _scales(self.exponents), self._nothing())[0]

    def _of_rank(
        self,
        number: int,
        batch: tuple[tf.Tensor, ...],
        stop: bool,
        exponents: Exponents,
        check: Callable[[tf.Tensor], None] | None,
    ) -> tuple[Any, Any]:
        """The whole numbers of this rank's groups and their largest, of each replica."""
        replicas, scales = self.distribution.replicas, _scales(exponents)
        at_once = self.micro_rows * replicas
        carry = self._nothing()
        for part in range(batch[0].shape[0] // at_once):
            rows = slice(part * at_once, (part + 1) * at_once)
            seeds = self._seeds(number, self.first_lane + part * replicas * self.micro_lanes)
            votes = np.zeros(replicas, np.float32)
            votes[0] = stop and not part
            carry = self._groups(*(one[rows] for one in batch), seeds, tf.constant(votes), scales, carry)
            if check and not part:
                check(carry[0])
        whole, largest = carry
        return whole, largest

    def _again(self, flags: Flags) -> bool:
        """Whether it is to be computed with wider exponents: not where it is thrown away whatever they are.

        A loss scale that was too high throws away the gradients alone."""
        diverged = flags.nonfinite_rest or (flags.nonfinite_gradients and not self.update.loss_scale)
        return bool(flags.unfit) and not diverged

    def _largest_of_all(self, largest: Any) -> NDArray[np.float64]:
        """The maxima over replicas and ranks, by a sum, which every exchange has."""
        own, table = self.distribution, np.zeros((self.distribution.size, len(self.sizes)))
        table[own.rank] = np.max([part.numpy() for part in own.parts(largest)], 0)
        found: NDArray[np.float64] = own.sum(table.reshape(-1)).reshape(table.shape).max(0)
        return found

    def _groups_on_replicas(self, *arguments: Any) -> tuple[Any, Any]:
        *arrays, scales, carry = arguments
        own = self.distribution
        found: tuple[Any, Any] = own.run(self._group_on_replica, *map(own.spread, arrays), scales, carry)
        return found

    def _group_on_replica(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        weights: tf.Tensor,
        seeds: tf.Tensor,
        votes: tf.Tensor,
        scales: tf.Tensor,
        carry: tuple[tf.Tensor, tf.Tensor],
    ) -> tuple[tf.Tensor, tf.Tensor]:
        state = self.variables.trained_values(), self.variables.other_values(seeds[0]), self.update.scale()
        found: tuple[tf.Tensor, tf.Tensor] = self._group(
            *state, images, labels, weights, votes, scales, carry
        )
        return found

    def _whole_numbers(
        self,
        trained: list[tf.Tensor],
        others: list[tf.Tensor],
        scale: tf.Tensor,
        images: tf.Tensor,
        labels: tf.Tensor,
        weights: tf.Tensor,
        votes: tf.Tensor,
        scales: tf.Tensor,
        carry: tuple[tf.Tensor, tf.Tensor],
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """One group's part of the exchanged vector and the largest magnitudes, added to `carry`. A group of
        padding adds nothing."""
        gradients, changes, counted = self._computed(trained, others, scale, images, labels, weights)
        parts = [tf.cast(one, tf.float32) for one in (*gradients, *changes, counted[:1])]
        whole, largest = quantised(parts, scales, self.limit)
        finite, count = tf.math.is_finite(largest), len(gradients)
        fitting = tf.where(largest < self.limit, largest, 0.0)
        unfit = tf.reduce_any(finite & (largest >= self.limit))
        nonfinite = [
            tf.logical_not(tf.reduce_all(finite[:count])),
            tf.logical_not(tf.reduce_all(finite[count:])),
        ]
        rest = [counted[1 : 1 + _COUNTS], fitting, tf.stack([unfit, *nonfinite]), votes]
        mine = tf.concat([whole, *(tf.cast(one, tf.int64) for one in rest)], 0)
        present = tf.reduce_max(weights)
        kept = tf.where(finite, largest, 0.0) * tf.cast(present, tf.float64)
        return carry[0] + mine * tf.cast(present, tf.int64), tf.maximum(carry[1], kept)

    def _zeros_on_replicas(self) -> tuple[Any, Any]:
        def zeros() -> tuple[tf.Tensor, tf.Tensor]:
            count = len(self.sizes)
            length = sum(self.sizes) + _COUNTS + count + _FLAGS
            return tf.zeros(length, tf.int64), tf.zeros(count, tf.float64)

        found: tuple[Any, Any] = self.distribution.run(zeros)
        return found

    def _summed(self, of_replicas: Any) -> tf.Tensor:
        return self.distribution.exchange(self.distribution.total(of_replicas))

    def _turn_back_and_update(self, summed: tf.Tensor, scales: tf.Tensor) -> tf.Tensor:
        """Turns the sums back to floats and assigns -> sums, votes, finite, (6,) float32."""
        length = sum(self.sizes)
        values = turned_back(summed[:length], self.sizes, scales)
        _, nonfinite_gradients, nonfinite_rest, votes = (
            tf.cast(one, tf.float32) for one in tf.unstack(summed[-_FLAGS:], _FLAGS)
        )
        gradients = values[: self.variables.gradients_size] + _not_a_number_if(nonfinite_gradients)
        counts = tf.cast(summed[length : length + _COUNTS], tf.float32)
        statistics = values[self.variables.gradients_size :] + _not_a_number_if(nonfinite_rest)
        rest = tf.concat([statistics, counts, [votes]], 0)
        finite = self.update(gradients, rest)
        return tf.concat([rest[-5:], [tf.cast(finite, tf.float32)]], 0)


def _scales(exponents: Exponents) -> tf.Tensor:
    return tf.constant(np.ldexp(1.0, exponents), tf.float64)


def _not_a_number_if(count: tf.Tensor) -> tf.Tensor:
    return tf.where(count > 0, np.float32(np.nan), np.float32(0))
