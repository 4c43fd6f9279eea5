"""docs/json.md: each command with --json is there, and each field has a meaning."""

import dataclasses
from typing import Any, NotRequired, TypedDict

import pytest

from scripts.json_page import PRINTED, STORED, fields, meanings, named
from tests.documents import assert_document
from trainer.cli.app import app

pytestmark = pytest.mark.fast

KINDS = [*(kind for _, kind, _ in PRINTED), *(kind for _, _, kind, _ in STORED if kind)]
DOCUMENTS: set[Any] = set(named(KINDS))


@pytest.mark.parametrize("kind", sorted(DOCUMENTS, key=str))
def test_every_field_has_a_meaning_and_no_other_has(kind: Any) -> None:
    text, meaning = meanings(kind)
    assert text
    assert meaning.keys() == fields(kind).keys()


def test_every_command_that_prints_json_is_there() -> None:
    commands = {
        command.name or command.callback.__name__
        for command in app.registered_commands
        if command.callback and "json" in command.callback.__annotations__
    }
    assert len(commands) > 10
    assert {command.partition(" ")[0] for command, _, _ in PRINTED} == commands


class Part(TypedDict):
    size: float


@dataclasses.dataclass
class Whole:
    name: str
    parts: tuple[Part, ...]
    shape: tuple[int, int] | None = None


class Document(TypedDict):
    whole: Whole
    more: NotRequired[dict[str, int]]


GOOD: dict[str, Any] = {"whole": {"name": "a", "parts": [{"size": 1}], "shape": [1, 2]}, "more": {"b": 1}}


@pytest.mark.parametrize(
    "document",
    [GOOD, {"whole": GOOD["whole"]}, {"whole": {**GOOD["whole"], "shape": None, "parts": []}}],
)
def test_a_document_of_its_type_passes(document: dict[str, Any]) -> None:
    assert_document(document, Document)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {**GOOD, "unknown": 1},
        {"whole": {**GOOD["whole"], "name": None}},
        {"whole": {**GOOD["whole"], "shape": [1]}},
        {"whole": {**GOOD["whole"], "parts": [{"size": True}]}},
        {"whole": {**GOOD["whole"], "parts": [{"size": "1"}]}},
        {**GOOD, "more": {"b": 1.5}},
    ],
)
def test_any_other_document_does_not(document: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        assert_document(document, Document)
