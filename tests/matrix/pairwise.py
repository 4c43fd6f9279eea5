"""Covering arrays: few rows in which every pair of values of two axes stands together at least once.

Greedy, as in Cohen et al., "The AETG System: An Approach to Testing Based on Combinatorial Design", IEEE
Transactions on Software Engineering 23(7), 1997.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

Row = dict[str, str]
Pair = tuple[tuple[str, str], tuple[str, str]]

CANDIDATES = 12
PRICE = 5
"""Pairs that a later value of an axis with cheaper ones before it has to cover more than they."""


def covering(
    axes: Mapping[str, Sequence[str]],
    allowed: Callable[[Mapping[str, str]], bool],
    seed: int = 0,
    cheapest_first: Sequence[str] = (),
) -> list[Row]:
    """Rows that give each axis a value, and hold every pair of values that `allowed` permits.

    Args:
        axes: name -> values.
        allowed: is asked about rows that are not complete too, and never changes from False to True as a row
            grows.
        seed: of what is drawn.
        cheapest_first: axes of which an earlier value is taken where it covers about as much as a later one.
    """
    drawn = random.Random(seed)
    missing = {pair: None for pair in _pairs(axes) if allowed(dict(pair))}
    rows: list[Row] = []
    while missing:
        first = next(iter(missing))
        tried = (_row(axes, allowed, missing, first, drawn, cheapest_first) for _ in range(CANDIDATES))
        found = [row for row in tried if row]
        if not found:
            del missing[first]  # each of the two is allowed, but no row that holds them
            continue
        best = max(found, key=lambda row: sum(pair in missing for pair in _pairs_of(axes, row)))
        rows.append(best)
        for pair in _pairs_of(axes, best):
            missing.pop(pair, None)
    return rows


def _row(
    axes: Mapping[str, Sequence[str]],
    allowed: Callable[[Mapping[str, str]], bool],
    missing: Mapping[Pair, None],
    first: Pair,
    drawn: random.Random,
    cheapest_first: Sequence[str],
) -> Row | None:
    """A row that begins with `first`; None where a value cannot be had without one that is not allowed."""
    row = dict(first)
    others = [axis for axis in axes if axis not in row]
    drawn.shuffle(others)
    others.sort(key=lambda axis: axis in cheapest_first)
    for axis in others:
        values = [value for value in axes[axis] if allowed(row | {axis: value})]
        if not values:
            return None
        if axis not in cheapest_first:
            drawn.shuffle(values)
        price = PRICE if axis in cheapest_first else 0
        row[axis] = max(
            values,
            key=lambda value: _gain(axes, row, axis, value, missing) - price * axes[axis].index(value),
        )
    return {axis: row[axis] for axis in axes}


def _gain(
    axes: Mapping[str, Sequence[str]], row: Row, axis: str, value: str, missing: Mapping[Pair, None]
) -> int:
    order = list(axes)
    new = (axis, value)
    return sum(
        ((other, new) if order.index(other[0]) < order.index(axis) else (new, other)) in missing
        for other in row.items()
    )


def _pairs(axes: Mapping[str, Sequence[str]]) -> Iterator[Pair]:
    for one, other in combinations(axes, 2):
        for value in axes[one]:
            for second in axes[other]:
                yield (one, value), (other, second)


def _pairs_of(axes: Mapping[str, Sequence[str]], row: Row) -> Iterator[Pair]:
    return combinations(((axis, row[axis]) for axis in axes), 2)
