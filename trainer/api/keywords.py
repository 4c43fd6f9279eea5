"""The configuration of a run from keywords: each key by its own name, as `epochs` of train.epochs."""

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from trainer.config.run_sections import MetricsSection, RunSection
from trainer.config.sections import DataSection, DistributionSection, ModelSection, TrainSection
from trainer.config.types import Section
from trainer.errors import ConfigError

SECTIONS: dict[str, type[Section]] = {
    "data": DataSection,
    "model": ModelSection,
    "train": TrainSection,
    "distribution": DistributionSection,
    "run": RunSection,
    "metrics": MetricsSection,
}
MAIN_KEYS = {"data": "url", "model": "name", "run": "url"}
"""The key that a section's name stands for, where its value is a text."""
_NESTED = {"learning_rate": ("train", "optimizer", "learning_rate")}


def assignments(values: Mapping[str, Any], keywords: Mapping[str, Any]) -> list[str]:
    """`--set` assignments of a configuration in sections, then of keywords, which override it.

    Raises ConfigError for an unknown key.
    """
    unknown = [key for key in values if key not in SECTIONS]
    if unknown:
        raise ConfigError(
            f"expected the sections {', '.join(SECTIONS)}, received {unknown[0]!r}",
            "See docs/configuration.md, or pass it as a keyword",
        )
    nested: list[Mapping[str, Any]] = [values, *map(_nested, keywords, keywords.values())]
    return [f"{key}={_text(key, value)}" for part in nested for key, value in _leaves(part)]


def _nested(name: str, value: Any) -> dict[str, Any]:
    """A keyword as a part of a configuration."""
    if name in SECTIONS:
        value = getattr(value, "url", value)  # a dataset or a run that another function returned
        return {name: dict(value) if isinstance(value, Mapping) else {MAIN_KEYS.get(name, ""): value}}
    if name == "optimizer" and isinstance(value, str):
        value = {"name": value}
    path = _NESTED.get(name) or next(
        ((section, name) for section, kind in SECTIONS.items() if name in kind.model_fields), None
    )
    if path is None or name in MAIN_KEYS.values():
        known = [key for kind in SECTIONS.values() for key in kind.model_fields]
        near = difflib.get_close_matches(name, [*SECTIONS, *known, *_NESTED], n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "See docs/configuration.md for the keys"
        raise ConfigError(f"train() has no option {name!r}", hint)
    nested: Any = value
    for part in reversed(path):
        nested = {part: nested}
    result: dict[str, Any] = nested
    return result


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text(key: str, value: Any) -> str:
    """A value as YAML. Raises ConfigError for what YAML does not hold."""
    try:
        return json.dumps(value, default=_plain)
    except (TypeError, ValueError):
        raise ConfigError(
            f"{key}: expected a text, a number, a list or a mapping, received {value!r}"
        ) from None


def _plain(value: Any) -> Any:
    """A path or a number of NumPy as a plain value; a TypeError for anything else."""
    if hasattr(value, "__fspath__"):
        return value.__fspath__()
    if hasattr(value, "item"):
        return value.item()
    raise TypeError
