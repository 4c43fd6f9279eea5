"""The cases: rows of a covering array, each with arguments of its optimizer, and those that stand alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import cycle
from typing import Any

from tests.matrix.axes import AXES, EVERYWHERE, OPTIMIZER, Settings, allowed, alone, arguments
from tests.matrix.pairwise import covering
from trainer.config.optimizers import ARGUMENTS

CASE = "case."


@dataclass(frozen=True)
class Case:
    """One configuration, and how it is tried.

    Attributes:
        settings: dotted keys of the configuration -> values, `{folder}` in texts being the case's own.
        how: what is not of the configuration: ranks, images, recipe, starting weights.
    """

    name: str
    settings: Mapping[str, Any]
    how: Mapping[str, Any] = field(default_factory=dict)

    @property
    def keys(self) -> set[str]:
        """As in `option_paths`."""
        items = (
            f"{key}[].{name}"
            for key, value in self.settings.items()
            if isinstance(value, list)
            for item in value
            if isinstance(item, dict)
            for name in item
        )
        return {*self.settings, *items}

    @property
    def optimizer_arguments(self) -> set[str]:
        """As in `option_paths`."""
        prefix = f"{OPTIMIZER}."
        name = self.settings.get(f"{prefix}name", "sgd")
        return {
            f"{OPTIMIZER}({name}).{key.removeprefix(prefix)}"
            for key in self.settings
            if key.startswith(prefix) and key not in (f"{prefix}name", f"{prefix}learning_rate")
        }

    def values(self, folder: str) -> dict[str, Any]:
        """The configuration, nested."""
        nested: dict[str, Any] = {}
        for key, value in self.settings.items():
            *sections, name = key.split(".")
            inner = nested
            for section in sections:
                inner = inner.setdefault(section, {})
            inner[name] = value.format(folder=folder) if isinstance(value, str) else value
        return nested


@cache
def cases() -> tuple[Case, ...]:
    """All of them, always the same."""
    names = {axis: list(values) for axis, values in AXES.items()}
    rows = covering(names, allowed, cheapest_first=("ranks", "xla"))
    waiting = {optimizer: cycle(arguments(optimizer)) for optimizer in ARGUMENTS}
    found = []
    for number, row in enumerate(rows):
        settings = dict(EVERYWHERE)
        for axis, value in row.items():
            settings |= AXES[axis][value]
        _, argument = next(waiting[settings[f"{OPTIMIZER}.name"]])
        found.append(_case(f"{number:03d} {row['network']}", settings | argument))
    for name, of_it in alone().items():
        found.append(_case(name, EVERYWHERE | of_it))
    tried = set().union(*(case.optimizer_arguments for case in found))
    for optimizer in ARGUMENTS:
        named = {"model.name": "tests.matrix.own:plain", f"{OPTIMIZER}.name": optimizer}
        for name, of_it in arguments(optimizer):
            if f"{OPTIMIZER}({optimizer}).{name}" not in tried:
                found.append(_case(f"{optimizer} {name}", EVERYWHERE | named | of_it))
    return tuple(found)


def _case(name: str, settings: Settings) -> Case:
    how = {key.removeprefix(CASE): value for key, value in settings.items() if key.startswith(CASE)}
    of_run = {key: value for key, value in settings.items() if not key.startswith(CASE)}
    return Case(name, of_run, how)
