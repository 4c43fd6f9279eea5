"""Whether a document is of the type that docs/json.md describes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from types import UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin

from scripts.json_page import fields, is_document


def assert_document(value: Any, kind: Any, where: str = "document") -> None:
    """`value` is what JSON makes of a `kind`: each field is there, none is left over, each is of its type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if is_document(kind):
        expected = fields(kind)
        optional = {name for name, one in expected.items() if get_origin(one) is NotRequired}
        assert isinstance(value, dict), where
        assert set(value) - optional == set(expected) - optional, where
        for name, one in value.items():
            assert_document(one, expected[name], f"{where}.{name}")
    elif origin is NotRequired:
        assert_document(value, arguments[0], where)
    elif origin in (Union, UnionType):
        assert any(_is_document(value, one) for one in arguments), f"{where}: {value!r} is not {kind}"
    elif origin is Literal:
        assert value in arguments, f"{where}: {value!r}"
    elif origin is tuple and Ellipsis not in arguments:
        assert isinstance(value, list), where
        assert len(value) == len(arguments), where
        for number, (one, expected_one) in enumerate(zip(value, arguments, strict=True)):
            assert_document(one, expected_one, f"{where}[{number}]")
    elif origin is not None and issubclass(origin, Mapping):
        assert isinstance(value, dict), where
        for name, one in value.items():
            assert_document(one, arguments[1], f"{where}.{name}")
    elif origin is not None and issubclass(origin, Sequence):
        assert isinstance(value, list), where
        for number, one in enumerate(value):
            assert_document(one, arguments[0], f"{where}[{number}]")
    elif kind is not Any:
        allowed: Any = str if issubclass(kind, Enum) else {float: (int, float), datetime: str}.get(kind, kind)
        assert isinstance(value, allowed), f"{where}: {value!r} is not {kind}"
        assert kind is bool or not isinstance(value, bool), where


def _is_document(value: Any, kind: Any) -> bool:
    try:
        assert_document(value, kind)
    except AssertionError:
        return False
    return True
