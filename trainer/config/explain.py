"""Pydantic's message about an invalid value, as one line in plain words."""

import difflib
import re
import reprlib
from collections.abc import Sequence
from datetime import date
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200
_SHORT.maxlong = 40


def explain(model: type[BaseModel], error: ValidationError) -> tuple[list[str], str]:
    """The path of the first invalid value, and what is invalid about it."""
    errors = error.errors(include_url=False)
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    if first["type"] == "extra_forbidden":
        return [str(part) for part in first["loc"]], _unknown_key(model, first["loc"])
    path = _keys(model, first["loc"])
    # Of the errors of a union, the one that is nearest to the value.
    alike = [e for e in errors if _keys(model, e["loc"]) == path]
    first = max(alike, key=lambda e: (len(e["loc"]), not e["type"].startswith("bool")))
    where = ".".join(path)
    if first["type"] == "missing" and isinstance(first["loc"][-1], int):  # of a tuple
        return path, f"{where}: expected more values, received {quoted(first['input'])}"
    if first["type"] == "missing":
        return path, f"{where} is missing"
    message = plain(first["msg"])
    complete = first["type"] == "value_error" and ("received" in message or isinstance(first["input"], dict))
    received = "" if complete else f", received {quoted(first['input'])}"
    return path, (f"{where}: " if where else "") + message + received


def plain(message: str) -> str:
    """A message of pydantic in the words of this project."""
    message = message.removeprefix("Value error, ")
    message = re.sub(r"^Input should be a valid dictionary or instance of .*", "expected a mapping", message)
    message = re.sub(r"^Input should be (?=greater|less)", "expected a value ", message)
    message = re.sub(r"^Input should be", "expected", message)
    return message[0].lower() + message[1:] if message[1:2].islower() else message


def quoted(value: Any) -> str:
    """A value as YAML or Python's repr has it; a long one with its middle left out."""
    if isinstance(value, date):
        return f"the date {value}; quote it if it is text"
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    return _SHORT.repr(value)


def _unknown_key(model: type[BaseModel], location: Sequence[Any]) -> str:
    *parents, key = location
    section: type[BaseModel] = model
    for part in parents:
        field = section.model_fields.get(str(part))
        section = (_section(field.annotation) if field else None) or section
    known = list(section.model_fields)
    near = difflib.get_close_matches(str(key), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return f"unknown key {quoted('.'.join([*_keys(model, parents), str(key)]))}; {hint}"


def _keys(model: type[BaseModel], location: Sequence[Any]) -> list[str]:
    """A location without what pydantic adds to it: the member of a union that was tried. An item of a list
    is part of the list's name: `phases[1]`."""
    path: list[str] = []
    section: type[BaseModel] | None = model
    for number, part in enumerate(location):
        if isinstance(part, int) and path and section is not None:
            path[-1] += f"[{part}]"
            continue
        if section is None:
            break
        path.append(str(part))
        field = section.model_fields.get(str(part))
        section = _section(field.annotation) if field else None
        if field and dict in [get_origin(a) for a in (field.annotation, *get_args(field.annotation))]:
            path += map(str, location[number + 1 : number + 2])
    return path


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section that a key holds, or a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section(part))), None)
