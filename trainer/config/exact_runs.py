"""What `train.exact` implies, and what it does not go with."""

from collections.abc import Mapping
from typing import Any

THREADS = 1
"""Threads of a rank unless `train.threads` is given: every machine has one, at any number of ranks."""


def with_implied(train: Mapping[str, Any]) -> dict[str, Any]:
    """`train` as it was given, with what `exact` implies.

    Raises ValueError where it says otherwise.
    """
    if train.get("exact") is not True:
        return dict(train)
    if train.get("deterministic") is False:
        raise ValueError(
            "deterministic: expected true with exact, received false: leave it out, or leave exact out"
        )
    implied = {"deterministic": True, "threads": THREADS}
    return {**implied, **{key: value for key, value in train.items() if value is not None}}


def check_exact(*, deterministic: bool, micro_batch: int | None, exchange: str) -> None:
    """Raises ValueError for what an exact run cannot have."""
    if not deterministic:
        raise ValueError("train.exact: expected true or false")  # 1 and "true" imply nothing
    if not micro_batch:
        raise ValueError(
            "train.exact: needs train.micro_batch, the lanes of a group that are always computed together: a "
            "divisor of train.lanes, and at most train.lanes / train.micro_batch ranks share the groups"
        )
    if exchange != "float32":
        raise ValueError(
            "train.exact: exchanges whole numbers, which do not depend on their order: leave "
            f"distribution.exchange out, received {exchange}"
        )
