"""The blocks of code of a page in Markdown, and the commands in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

_FENCED = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^ {4}.*\n)+(?:\n+(?:^ {4}.*\n)+)*", re.MULTILINE)
_SHELL = {"|", ">", "&&", ";", "&"}


@dataclass(frozen=True)
class Block:
    """The text of a block, and the word behind its fence, such as "sh"; empty where it has none."""

    kind: str
    text: str


def fenced(page: str) -> list[Block]:
    """The blocks between fences, in their order."""
    return [Block(kind, text) for kind, text in _FENCED.findall(page)]


def indented(page: str) -> list[Block]:
    """The blocks that four spaces indent."""
    return [
        Block("", re.sub(r"^ {4}", "", text, flags=re.MULTILINE))
        for text in _INDENTED.findall(_FENCED.sub("", page))
    ]


def commands(text: str, *programs: str) -> Iterator[list[str]]:
    """The words of each line that begins with one of the programs, without its comment; a line that ends with
    a backslash continues."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.split(maxsplit=1)[:1] and line.split(maxsplit=1)[0] in programs:
            yield shlex.split(line, comments=True)


def arguments(words: list[str]) -> list[str]:
    """Without the program, and without what a shell does with the output."""
    ends = [number for number, word in enumerate(words) if word in _SHELL]
    return words[1 : ends[0] if ends else None]
