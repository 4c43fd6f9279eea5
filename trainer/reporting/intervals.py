"""How sure a measured fraction is."""

import math

Z_95 = 1.959964
"""Standard deviations on either side that hold 95 % of a normal distribution."""


def interval_95(right: float, rows: int) -> tuple[float, float]:
    """The 95 % interval of a fraction of which `right` of `rows` were seen (Wilson, 1927).

    >>> [round(bound, 3) for bound in interval_95(90, 100)]
    [0.826, 0.945]
    """
    fraction, squared = right / rows, Z_95 * Z_95 / rows
    middle = fraction + squared / 2
    half = Z_95 * math.sqrt(fraction * (1 - fraction) / rows + squared / (4 * rows))
    low, high = (middle - half) / (1 + squared), (middle + half) / (1 + squared)
    return max(0.0, min(low, fraction)), min(1.0, max(high, fraction))
