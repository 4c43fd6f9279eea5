"""The identity of a run: the plain values that must not change; and how two identities differ."""

import json
from collections.abc import Mapping
from typing import Any

from trainer.config.types import NO_URLS
from trainer.urls import may_be_typed

Difference = tuple[str, Any, Any]
"""The dotted name of the key that differs, the first value and the second."""


def plain(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The identity with the types that JSON returns."""
    values: dict[str, Any] = json.loads(json.dumps(identity))
    return values


def difference(old: Mapping[str, Any], identity: Mapping[str, Any]) -> Difference | None:
    """The first value of `identity` that differs in `old`, which was read from JSON; None if they are equal.

    Keys that `identity` does not have are not compared. A key that `old` does not have counts as None, since
    older versions wrote fewer keys.
    """
    new = plain(identity)
    return _first(_with_absolute_weights(old, new), new)


def _with_absolute_weights(old: Mapping[str, Any], new: Mapping[str, Any]) -> Mapping[str, Any]:
    """`old` with the absolute URL in model.weights, if it has it as the user typed it, as in older
    versions."""
    typed, url = (identity.get("model", {}).get("weights", "none") for identity in (old, new))
    if {typed, url} & NO_URLS or not may_be_typed(url, typed):
        return old
    return {**old, "model": {**old["model"], "weights": url}}


def _first(old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference | None:
    for key, value in new.items():
        old_value = old.get(key)
        if old_value == value:
            continue
        if isinstance(old_value, dict) and isinstance(value, dict):
            inner = _first(old_value, value)
            if inner is None:
                return key, old_value, value
            joint = "" if inner[0].startswith("[") else "."  # [1] is an item of a list
            return f"{key}{joint}{inner[0]}", *inner[1:]
        return key, old_value, value
    return None
