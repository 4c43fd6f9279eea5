"""From recipe, YAML file and `--set` to a checked configuration."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import (
    ValidationError,
)

from trainer.config import yaml_text
from trainer.config.explain import explain, quoted
from trainer.config.run_config import RunConfig
from trainer.config.types import (
    Model,
)
from trainer.errors import ConfigError, one_line, shortened

AUTO = "auto"
"""The name of the recipe that is chosen by the data and the machine."""
_EXAMPLES = "See `trainer recipes` for whole examples"


def recipes() -> dict[str, str]:
    """The recipes: name -> YAML text."""
    folder = resources.files("trainer") / "recipes"
    return {
        entry.name.removesuffix(".yaml"): entry.read_text()
        for entry in sorted(folder.iterdir(), key=lambda e: e.name)
        if entry.name.endswith(".yaml")
    }


@dataclass(frozen=True)
class Settings:
    """What a user has set: a recipe by name, and the values of the file and of `--set`, which override it.

    Attributes:
        where: the name of the file, for errors.
    """

    recipe: str | None
    file: Mapping[str, Any]
    overrides: Sequence[str]
    where: str

    @property
    def values(self) -> dict[str, Any]:
        """What is set, in sections. Raises ConfigError."""
        return apply_overrides(self.file, self.overrides)

    @property
    def automatic(self) -> bool:
        """Whether the recipe is chosen by the data and the machine: it is `auto`, or neither a recipe nor a
        network is named."""
        model = self.values.get("model")
        named = isinstance(model, Mapping) and model.get("name") is not None
        return self.recipe == AUTO or (self.recipe is None and not named)

    def over(self, recipe: Mapping[str, Any]) -> RunConfig:
        """The whole configuration; `recipe` has the values that are not set. Raises ConfigError."""
        values = apply_overrides(merge(recipe, self.file), self.overrides)
        return validate(RunConfig, values, self.where, self.overrides, remedy=_EXAMPLES)


def read_settings(
    path: Path | None = None, *, recipe: str | None = None, overrides: Sequence[str] = ()
) -> Settings:
    """What the file and the options set. Raises ConfigError."""
    if not (path or recipe or overrides):
        raise ConfigError("no configuration", "Pass a YAML file with --config, or a --recipe")
    file = read_yaml(path) if path else {}
    named = file.pop("recipe", None)
    return Settings(recipe or named, file, overrides, str(path) if path else "the configuration")


def load(path: Path | None = None, *, recipe: str | None = None, overrides: Sequence[str] = ()) -> RunConfig:
    """The values of the recipe, overridden by those of the file, then by `--set a.b=c`; validated.

    Raises ConfigError with what was expected and what was received, also where the recipe would be chosen
    by the data: see `trainer.training.auto`.
    """
    settings = read_settings(path, recipe=recipe, overrides=overrides)
    if settings.recipe == AUTO:
        raise ConfigError(f"recipe: {AUTO} is chosen as a run starts", "Name a recipe, see `trainer recipes`")
    return settings.over(recipe_values(settings.recipe) if settings.recipe else {})


def parse(values: Mapping[str, Any], where: str = "the configuration") -> RunConfig:
    """A mapping -> RunConfig. Raises ConfigError for the first invalid value."""
    return validate(RunConfig, values, where, remedy=_EXAMPLES)


def validate(
    model: type[Model],
    values: Mapping[str, Any],
    where: str,
    overrides: Sequence[str] = (),
    options: Iterable[str] = (),
    remedy: str = "",
) -> Model:
    """A mapping -> `model`. Raises ConfigError that names where the first invalid value came from.

    Args:
        where: the name of the file that the values are from.
        overrides: the `--set` assignments.
        options: the keys that were passed as options of their own name.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        path, message = explain(model, error)
        override = next((text for text in reversed(overrides) if _assigns(path, text)), None)
        if override is not None:
            where = f"--set {shortened(override)}"
        elif path and path[0] in options:
            where = f"--{path[0]}"
        raise ConfigError(f"{where}: {message}", remedy) from None


def _assigns(path: Sequence[str], assignment: str) -> bool:
    """Whether a `--set` assignment sets the value at `path`, a part of it, or what it is a part of."""
    keys = (part.partition("[")[0] for part in path)  # of a list's item: the list
    return all(a == b for a, b in zip(assignment.partition("=")[0].split("."), keys, strict=False))


def apply_overrides(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The values with the `--set` assignments applied. Raises ConfigError."""
    merged = dict(values)
    for assignment in overrides:
        try:
            merged = merge(merged, parse_override(assignment))
        except RecursionError:
            raise ConfigError(f"--set {shortened(assignment)}: nested too deeply") from None
    return merged


def parse_override(assignment: str) -> dict[str, Any]:
    """`a.b=c` -> {"a": {"b": c}}, c read as YAML."""
    key, equals, text = assignment.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set: expected key.name=value, received {quoted(assignment)}")
    try:
        nested: Any = yaml_text.read(text)
    except yaml_text.DuplicateKeyError as error:
        raise ConfigError(
            f"--set {shortened(assignment)}: duplicate key {error.key!r}", "Remove one of them"
        ) from None
    except (yaml.YAMLError, yaml_text.SeveralDocumentsError, ValueError):  # the last of a number too long
        nested = text
    for part in reversed(key.split(".")):
        nested = {part: nested}
    result: dict[str, Any] = nested
    return result


def recipe_values(name: Any) -> dict[str, Any]:
    """The values of a recipe. Raises ConfigError for an unknown name."""
    known = recipes()
    if not isinstance(name, str) or name not in known:
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join([AUTO, *known])}"
        raise ConfigError(f"recipe: there is no recipe {quoted(name)}", hint)
    values: dict[str, Any] = yaml_text.read(known[name])
    return values


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping. Raises ConfigError."""
    try:
        values = yaml_text.read(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file", "Pass the YAML file of the run with --config") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: cannot be read: expected text in UTF-8") from None
    except yaml_text.DuplicateKeyError as error:
        raise ConfigError(f"{path}: {error}", "Remove one of them") from None
    except yaml_text.SeveralDocumentsError as error:
        raise ConfigError(f"{path}: {error}", "Remove all but one, or split the file") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not YAML: {one_line(error)}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a mapping", "See `trainer recipes`")
    return values


def merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Merges nested values: those of `override` win."""
    merged = dict(base)
    for key, value in override.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            # Another optimizer does not inherit the first one's arguments.
            other = "name" in value and "name" in old and value["name"] != old["name"]
            merged[key] = value if other else merge(old, value)
        else:
            merged[key] = value
    return merged
