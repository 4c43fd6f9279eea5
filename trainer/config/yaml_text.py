"""YAML as people mean it: a key once in a mapping, and as numbers only what everybody reads as these."""

import re
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$")
_FLOAT = re.compile(
    r"(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_OTHERWISE = {f"{_TAG}int": _INTEGER, f"{_TAG}float": _FLOAT}


class TwiceError(Exception):
    """A key stands twice in a mapping, first in one line and then in another, both counted from 1."""

    def __init__(self, key: str, first: int, second: int) -> None:
        super().__init__(f"the key {key!r} is there twice, in line {first} and in line {second}")
        self.key = key


class SeveralDocumentsError(Exception):
    """Another document begins in a line, counted from 1."""

    def __init__(self, line: int) -> None:
        super().__init__(f"expected one YAML document, and another one begins in line {line}")


class _Loader(yaml.SafeLoader):
    """PyYAML's, which has YAML 1.1, but for its octal numbers (012) and those to the base of 60 (12:30:00):
    these are text, as in YAML 1.2."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        lines: dict[tuple[str, str], int] = {}
        for key in keys:
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                raise TwiceError(key.value, lines[name], line)
            lines[name] = line
        return node


_Loader.yaml_implicit_resolvers = {
    first: [(tag, _OTHERWISE.get(tag, form)) for tag, form in forms]
    for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(text: str) -> Any:
    """The one document of a text. Raises TwiceError, SeveralDocumentsError; yaml.YAMLError, ValueError and
    RecursionError for what is not YAML."""
    loader = _Loader(text)
    try:
        node = loader.get_node() if loader.check_node() else None
        if loader.check_event(yaml.DocumentStartEvent):
            begin = loader.peek_event()  # type: ignore[no-untyped-call]
            raise SeveralDocumentsError(begin.start_mark.line + 1)
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()
