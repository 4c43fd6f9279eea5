"""docs/networks.md: the networks and their options, from their builders."""

import inspect
import re
import textwrap
from collections.abc import Iterator
from functools import partial
from typing import Any, get_args, get_type_hints

from scripts.bounds import bounds
from trainer import models
from trainer.config.applications import APPLICATIONS, PREFIX

_HEAD = """# Networks

Made from the code by `scripts/generate`; do not edit.

`model.name` is one of these, `keras:NAME` for one of keras.applications, or `package.module:function` for
your own; `model.options` are its options. `trainer model NAME` shows the layers, shapes and parameters,
without a dataset:

    trainer model keras:ResNet50
    trainer model lab-cnn --classes 10 --option n_conv_layers=4 --option use_dropout=true
"""
_NOT_OPTIONS = ("name", "image_shape", "classes")


def networks_page() -> str:
    """The text of the page."""
    from trainer.models.networks.keras_applications import application

    own = "\n".join(_section(f"`{name}`", models.builder_of(name)) for name in models.NETWORKS)
    names = ", ".join(name.removeprefix(PREFIX) for name in sorted(APPLICATIONS))
    keras = _section(f"`{PREFIX}NAME`", application)
    return "\n".join((_HEAD, own, keras, _wrapped(f"NAME is one of {names}."), ""))


def _section(title: str, builder: Any) -> str:
    text = inspect.getdoc(builder) or ""
    summary = re.split(r"\n\n(?:Args|Raises):", text)[0]
    rows = list(_rows(builder, _meanings(text)))
    table = "\n".join(["| option | value | default | meaning |", "|---|---|---|---|", *rows])
    return f"## {title}\n\n{_wrapped(summary)}\n" + (f"\n{table}\n" if rows else "")


def _rows(builder: Any, meanings: dict[str, str]) -> Iterator[str]:
    hints = get_type_hints(builder, include_extras=True)
    for name, parameter in inspect.signature(builder).parameters.items():
        if name in _NOT_OPTIONS:
            continue
        default = str(parameter.default).lower() if isinstance(parameter.default, bool) else parameter.default
        yield f"| `{name}` | {_value(hints[name])} | `{default}` | {meanings[name]} |"


def _value(hint: Any) -> str:
    kind, *metadata = get_args(hint) or (hint,)
    if hint is bool:
        return "`true`, `false`"
    if hint is not kind and getattr(kind, "__origin__", None) is list:
        return f"list of: {_value(get_args(kind)[0])}"
    limits = [limit for field in metadata for limit in field.metadata]
    return ", ".join([{int: "integer", float: "number"}[kind], *bounds(limits)])


def _meanings(text: str) -> dict[str, str]:
    _, _, arguments = text.partition("Args:\n")
    lines = re.split(r"\n\n", arguments)[0]
    return {
        name: " ".join(meaning.split()).rstrip(".")
        for name, meaning in re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", lines, re.MULTILINE)
    }


def _wrapped(text: str) -> str:
    """Each paragraph in lines of the page's width."""
    fill = partial(textwrap.fill, width=118, break_long_words=False, break_on_hyphens=False)
    return "\n\n".join(fill(" ".join(part.split())) for part in text.split("\n\n"))
