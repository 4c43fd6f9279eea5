"""Sums of an evaluation that do not depend on the order of the batches, nor on who has which."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.training.step.sums import Sums

_UNIT = 1 << 149
"""Every float32 is a whole number of 1 / this."""
_LIMB = 1 << 32
_LIMBS = 10
"""Limbs of a whole number, and a last one with the sign: enough for 2^43 of the largest float32."""


@dataclass(frozen=True)
class WholeSums:
    """`Sums` of float32 values, added up without any rounding.

    Attributes:
        units: loss, correct, top-5 and rows, each in units of 2^-149.
        nonfinite: how many of the values that were added are not finite; they are not in `units`.
    """

    units: tuple[int, ...] = (0, 0, 0, 0)
    nonfinite: int = 0

    @classmethod
    def of(cls, sums: Sums) -> "WholeSums":
        """The sums of one group."""
        values = sums.values()
        return cls(
            tuple(_units(value) if math.isfinite(value) else 0 for value in values),
            sum(not math.isfinite(value) for value in values),
        )

    def __add__(self, other: "WholeSums") -> "WholeSums":
        units = tuple(a + b for a, b in zip(self.units, other.units, strict=True))
        return WholeSums(units, self.nonfinite + other.nonfinite)

    def over_ranks(self, add: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Sums:
        """The sums over all ranks, rounded once; a loss that is not finite is NaN.

        `add`: float64 (n,) -> its sum over the ranks. What it is given are whole numbers below 2^33, so that
        it adds up a million ranks without rounding.
        """
        limbs = np.array([_limbs(value) for value in self.units], np.float64)
        *found, nonfinite = add(np.append(limbs.reshape(-1), float(self.nonfinite))).tolist()
        each = len(found) // len(self.units)
        loss, *counts = (_value(found[start : start + each]) for start in range(0, len(found), each))
        return Sums(math.nan if nonfinite else loss, *counts)


def _units(value: float) -> int:
    numerator, denominator = value.as_integer_ratio()
    return numerator * (_UNIT // denominator)


def _limbs(units: int) -> list[int]:
    low = [units >> (32 * place) & (_LIMB - 1) for place in range(_LIMBS)]
    return [*low, units >> (32 * _LIMBS)]


def _value(limbs: list[float]) -> float:
    return sum(int(limb) << (32 * place) for place, limb in enumerate(limbs)) / _UNIT
