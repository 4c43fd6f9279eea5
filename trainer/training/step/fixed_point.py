"""Numbers as whole numbers of a fraction, so that their sum does not depend on the order: with NumPy.

A group's number x of a variable with exponent e becomes the whole number round(x * 2^e). It fits where it is
below `limit`, so that the sums over all groups stay below 2^62. All powers of two here are exact in float64.
"""

import numpy as np
from numpy.typing import NDArray

Exponents = NDArray[np.int32]
"""(variables,)."""

SUM_BITS = 62
"""Every sum of whole numbers is below two to this."""
HEADROOM = 8
"""Doublings by which a variable may grow from one step to the next and still fit."""
FINEST = 124
"""The largest exponent. Numbers below 2^-125, subnormal ones too, count as 0, so that it does not matter
whether a processor flushes them; and no sum that is turned back is one of them."""


def first_exponents(variables: int) -> Exponents:
    """The exponents of a new run: what does not fit is found in the first step, as in any other."""
    return np.full(variables, FINEST, np.int32)


def bits_of(groups: int) -> int:
    """How many bits longer a sum over `groups` numbers is than the numbers."""
    return (groups - 1).bit_length()


def limit(groups: int) -> float:
    """What a group's whole number has to stay below, either way."""
    return 2.0 ** (SUM_BITS - bits_of(groups))


def quantised(
    values: NDArray[np.float32], exponent: int, groups: int
) -> tuple[NDArray[np.int64], float, bool]:
    """One group's numbers of one variable.

    Returns: the whole numbers, zeros where one does not fit; the largest of their magnitudes, NaN or infinite
    where a number is not finite; and whether all fit.
    """
    scaled = np.abs(rounded := np.rint(values.astype(np.float64) * np.ldexp(1.0, exponent)))
    largest = float(np.max(scaled, initial=0.0))
    fits = bool(largest < limit(groups))
    return np.where(fits, rounded, 0.0).astype(np.int64), largest, fits


def turned_back(sums: NDArray[np.int64], exponent: int) -> NDArray[np.float32]:
    """The sum over all groups, rounded to the nearest float32; infinite above these."""
    with np.errstate(over="ignore"):
        found: NDArray[np.float32] = (sums.astype(np.float64) * np.ldexp(1.0, -exponent)).astype(np.float32)
    return found


def following(exponents: Exponents, largest: NDArray[np.int64], groups: int) -> Exponents:
    """The exponents of the next step: a variable's is as fine as it can be with the headroom. One whose
    numbers are all 0 keeps its own.

    Args:
        exponents: of the step.
        largest: (variables,) the sums over its groups of each group's largest magnitude.
        groups: how many there are.
    """
    _, bits = np.frexp(largest.astype(np.float64))
    finer = SUM_BITS - bits_of(groups) - HEADROOM - bits
    return np.where(largest > 0, np.minimum(exponents + finer, FINEST), exponents).astype(np.int32)


def widened(exponents: Exponents, largest: NDArray[np.float64], groups: int) -> Exponents:
    """The exponents with which the same step fits.

    Args:
        exponents: with which it did not.
        largest: (variables,) the largest magnitude of all groups; where it is not finite the exponent stays.
        groups: how many there are.
    """
    finite = np.isfinite(largest)
    _, bits = np.frexp(np.where(finite, largest, 0.0))
    wider = SUM_BITS - bits_of(groups) - bits
    return np.where(finite & (largest >= limit(groups)), exponents + wider, exponents).astype(np.int32)
