"""Strict YAML: no duplicate keys, and only unambiguous numbers."""

import re
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$")
_FLOAT = re.compile(
    r"(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_STRICT = {f"{_TAG}int": _INTEGER, f"{_TAG}float": _FLOAT}


class DuplicateKeyError(Exception):
    """A mapping has a duplicate key, in two lines, both counted from 1."""

    def __init__(self, key: str, first: int, second: int) -> None:
        super().__init__(f"duplicate key {key!r} in lines {first} and {second}")
        self.key = key


class SeveralDocumentsError(Exception):
    """A second document begins in a line, counted from 1."""

    def __init__(self, line: int) -> None:
        super().__init__(f"expected one YAML document, received another one in line {line}")


class _Loader(yaml.SafeLoader):
    """PyYAML's loader for YAML 1.1, except for octal (012) and sexagesimal (12:30:00) numbers: these
    are text, as in YAML 1.2."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        lines: dict[tuple[str, str], int] = {}
        for key in keys:
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                raise DuplicateKeyError(key.value, lines[name], line)
            lines[name] = line
        return node


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, _STRICT.get(tag, pattern)) for tag, pattern in resolvers]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(text: str) -> Any:
    """The one document of a text. Raises DuplicateKeyError, SeveralDocumentsError; yaml.YAMLError,
    ValueError and RecursionError for what is not YAML."""
    loader = _Loader(text)
    try:
        node = loader.get_node() if loader.check_node() else None
        if loader.check_event(yaml.DocumentStartEvent):
            begin = loader.peek_event()  # type: ignore[no-untyped-call]
            raise SeveralDocumentsError(begin.start_mark.line + 1)
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()
