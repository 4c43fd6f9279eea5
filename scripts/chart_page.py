"""README.md of a chart: README.in.md beside it, and a table of values.yaml by its comments."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHARTS = Path(__file__).parents[1] / "helm"
MARK = "<!-- values -->"
_KEY = re.compile(r"^( *)([A-Za-z][-A-Za-z0-9]*):")


@dataclass(frozen=True)
class Value:
    """One value of a chart: `path` with dots, its `default`, and what its comment says."""

    path: str
    default: Any
    text: str


def chart_page(chart: str) -> str:
    """The README of a chart. Raises ValueError if README.in.md has no place for the values."""
    folder = CHARTS / chart
    text = (folder / "README.in.md").read_text()
    if text.count(MARK) != 1:
        raise ValueError(f"{chart}/README.in.md: expected {MARK} once")
    rows = [
        "| value | default | meaning |",
        "|---|---|---|",
        *(
            f"| `{value.path}` | {_code(value.default)} | {_cell(value.text)} |"
            for value in described(folder / "values.yaml")
        ),
    ]
    return text.replace(MARK, "\n".join(rows))


def described(path: Path) -> Iterator[Value]:
    """The values of a values.yaml that a comment beginning with `# --` describes, in their order.

    Comments above it that do not begin so, and that no empty line parts from it, follow in the text.
    """
    values = yaml.safe_load(path.read_text())
    parents: list[str] = []
    text, notes = "", []
    for line in path.read_text().splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            text = stripped.removeprefix("# -- ")
        elif stripped.startswith("# "):
            notes.append(stripped.removeprefix("# "))
        elif not stripped:
            text, notes = "", []
        elif found := _KEY.match(line):
            parents = [*parents[: len(found[1]) // 2], found[2]]
            if text:
                yield Value(
                    ".".join(parents), _at(values, parents), ". ".join([text, " ".join(notes)]).rstrip(". ")
                )
            text, notes = "", []


def _at(values: Any, path: list[str]) -> Any:
    for key in path:
        values = values[key]
    return values


def _code(value: Any) -> str:
    """A value as one line of YAML; empty text as two quotes."""
    text = yaml.safe_dump(value, default_flow_style=True, width=1000).strip().removesuffix("...").strip()
    return f"`{text.replace(chr(39) * 2, chr(34) * 2)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
