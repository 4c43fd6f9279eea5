"""What makes two runs the same run, as plain values; and where two of them differ."""

import json
from collections.abc import Mapping
from typing import Any

from trainer.config.types import NO_URLS
from trainer.urls import may_be_typed

Difference = tuple[str, Any, Any]
"""The dotted name of what differs, the first one's value and the second one's."""


def plain(identity: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives it back."""
    values: dict[str, Any] = json.loads(json.dumps(identity))
    return values


def difference(known: Mapping[str, Any], identity: Mapping[str, Any]) -> Difference | None:
    """The first part of `identity` that `known`, which JSON gave back, has otherwise.

    What `identity` does not have is not compared: older versions wrote less, and None stands for that.
    """
    new = plain(identity)
    return _first(_with_absolute_weights(known, new), new)


def _with_absolute_weights(old: Mapping[str, Any], new: Mapping[str, Any]) -> Mapping[str, Any]:
    """An identity of before URLs were made absolute has model.weights as it was typed."""
    typed, url = (identity.get("model", {}).get("weights", "none") for identity in (old, new))
    if {typed, url} & NO_URLS or not may_be_typed(url, typed):
        return old
    return {**old, "model": {**old["model"], "weights": url}}


def _first(old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference | None:
    for key, value in new.items():
        before = old.get(key)
        if before == value:
            continue
        if isinstance(before, dict) and isinstance(value, dict):
            inner = _first(before, value)
            return (f"{key}.{inner[0]}", *inner[1:]) if inner else (key, before, value)
        return key, before, value
    return None
