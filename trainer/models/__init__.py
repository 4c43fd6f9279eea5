"""The networks, by name. A family is a file; nothing here imports TensorFlow until a network is built."""

import difflib
import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from trainer.errors import ConfigError
from trainer.explain import plain, quoted
from trainer.runs.document import RunDocument

NETWORKS = {
    "lab-cnn": "trainer.models.lab:build_cnn",
    "resnet50": "trainer.models.resnet:resnet50",
    "resnet152-scale": "trainer.models.resnet:resnet152_scale",
}


def build(
    name: str, image_shape: tuple[int, int, int], classes: int, options: Mapping[str, Any] | None = None
) -> Any:
    """A `keras.Model` from images (n, H, W, C) float32 to class probabilities (n, classes) float32.

    Raises ConfigError for an unknown name or option, or a value that the option cannot have.
    """
    if name not in NETWORKS:
        near = difflib.get_close_matches(name, NETWORKS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(NETWORKS)}"
        raise ConfigError(f"model.name: there is no network {name!r}", hint)
    module, _, function = NETWORKS[name].partition(":")
    builder = getattr(importlib.import_module(module), function)
    known = {
        parameter.name: parameter.annotation
        for parameter in inspect.signature(builder).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    for option, value in (options or {}).items():
        if option not in known:
            near = difflib.get_close_matches(option, known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known) or 'none'}"
            raise ConfigError(f"model.options: {name} has no option {quoted(option)}", hint)
        try:
            TypeAdapter(known[option]).validate_python(value, strict=True)
        except ValidationError as error:
            said = plain(error.errors()[0]["msg"])
            raise ConfigError(f"model.options.{option}: {said}, received {quoted(value)}") from None
    return builder(image_shape, classes, **(options or {}))


def build_network(run: RunDocument) -> Any:
    """The network of a run, with fresh weights."""
    model = run.config.model
    return build(model.name, run.image_shape, len(run.classes), model.options)
