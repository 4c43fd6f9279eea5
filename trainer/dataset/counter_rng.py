"""Random numbers that are functions of integers alone, the same on every machine and in every version.

SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014) as a
counter-based hash. NumPy's own streams may change between its versions; the order of a run's rows may not.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_A = np.uint64(0xBF58476D1CE4E5B9)
_B = np.uint64(0x94D049BB133111EB)

Bits = NDArray[np.uint64]


def _mix(bits: Bits) -> Bits:
    bits = (bits ^ (bits >> np.uint64(30))) * _A
    bits = (bits ^ (bits >> np.uint64(27))) * _B
    return bits ^ (bits >> np.uint64(31))


def hashed(*key: int | NDArray[Any]) -> Bits:
    """Integers, or arrays of them that broadcast together -> 64 random bits for each, uint64 (…)."""
    with np.errstate(over="ignore"):
        state = np.zeros((), np.uint64)
        for position, part in enumerate(key, start=1):
            bits = np.asarray(part).astype(np.uint64)
            state = _mix(state * _A + (bits + np.uint64(position)) * _GOLDEN)
    return np.asarray(state)


def uniform(*key: int | NDArray[Any]) -> NDArray[np.float64]:
    """Random numbers in [0, 1) of 53 bits, float64 (…); the arguments are those of `hashed`."""
    return np.asarray((hashed(*key) >> np.uint64(11)) * 2.0**-53)


def permutation(size: int, *key: int) -> NDArray[np.int64]:
    """A permutation of range(size), int64 (size,), each as probable as any other."""
    return np.argsort(hashed(*key, np.arange(size)), kind="stable")
