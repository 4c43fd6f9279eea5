"""The structure of the package: arrows point down, folders stay small, and a name is spelled in one place."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import generated
from trainer.gang import endpoint
from trainer.observability import metric_names
from trainer.runs import layout

pytestmark = pytest.mark.fast

PACKAGE = Path(__file__).parents[1] / "trainer"
MODULES = sorted(PACKAGE.rglob("*.py"))

LAYERS = (
    ("errors", "output"),
    ("interrupts", "urls"),
    ("machine",),
    ("local_file",),
    ("config",),
    ("storage",),
    ("runs", "images"),
    ("observability",),
    ("distribution",),
    ("dataset", "models", "gang", "checkpoints"),
    ("reporting", "preparation", "inference"),
    ("evaluation",),
    ("training", "cluster", "doctor"),
    ("api",),
    ("cli",),
    ("main",),
    ("__main__",),
)
"""From the bottom up; what stands beside each other does not import each other."""

FILE_NAME = re.compile(r"[\w-]*\.(?:json|jsonl|csv|npy|h5|keras|md|yaml|bin)\b")


def part(path: Path) -> str:
    """The folder or module directly below the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Every module or name of this package that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def literals(path: Path) -> Iterator[str]:
    """Every text of a file, also inside f-strings, but for docstrings."""
    tree = ast.parse(path.read_text())
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


def test_imports_point_down():
    height = {name: number for number, names in enumerate(LAYERS) for name in names}
    upward = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in MODULES
        for name in imports(path)
        if name.startswith("trainer.")
        and (target := name.split(".")[1]) in height
        and part(path) in height
        and target != part(path)
        and height[target] >= height[part(path)]
    ]
    assert not upward


def test_every_part_has_its_layer():
    assert {part(path) for path in MODULES} - {"__init__"} == {name for names in LAYERS for name in names}


def test_no_module_imports_itself_over_others():
    graph: dict[str, set[str]] = defaultdict(set)
    known = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in MODULES}
    for name, path in known.items():
        for found in imports(path):
            target = found if found in known else found.rpartition(".")[0]
            if target in known and target != name:
                graph[name].add(target)
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, f"a cycle: {' -> '.join((*way, name))}"
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*way, name))
            done.add(name)

    for name in sorted(known):
        visit(name, ())


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES}), ids=lambda f: f.name)
def test_a_folder_is_one_idea(folder: Path):
    assert len(list(folder.glob("*.py"))) <= 14


def test_a_class_and_a_module_have_a_name_of_their_own():
    """A stack trace shows which; the pages of a command are called like it."""
    names: dict[str, list[str]] = defaultdict(list)
    for path in MODULES:
        where = str(path.relative_to(PACKAGE))
        if path.stem != "__init__" and path.parent != PACKAGE / "cli" / "pages":
            names[path.stem].append(where)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                names[node.name].append(where)
    assert {name: where for name, where in names.items() if len(where) > 1} == {}


def test_a_file_name_is_spelled_in_one_module():
    owners: dict[str, set[str]] = defaultdict(set)
    for path in MODULES:
        for text in literals(path):
            for name in FILE_NAME.findall(text):
                owners[name].add(str(path.relative_to(PACKAGE)))
    twice = {name: sorted(paths) for name, paths in owners.items() if len(paths) > 1 and name[0] != "."}
    assert not twice


VARIABLE = re.compile(r"(?:TRAINER|PROMETHEUS|HOROVOD)_[A-Z_]+")


def test_an_environment_variable_is_spelled_in_one_module():
    owners: dict[str, set[str]] = defaultdict(set)
    for path in MODULES:
        for text in literals(path):
            if VARIABLE.fullmatch(text):
                owners[text].add(str(path.relative_to(PACKAGE)))
    assert {name: sorted(paths) for name, paths in owners.items() if len(paths) > 1} == {}


def test_keys_metric_names_and_paths_are_imported():
    spelled = {
        "runs/layout.py": [layout.TOKENS, layout.CHECKPOINTS, "weights/"],
        "observability/metric_names.py": [
            value
            for value in vars(metric_names).values()
            if isinstance(value, str) and value.startswith("trainer_")
        ],
        "gang/endpoint.py": [endpoint.METRICS, endpoint.HEALTHZ, endpoint.READYZ, "/ranks/"],
    }
    for owner, words in spelled.items():
        for path in MODULES:
            if path != PACKAGE / owner:
                texts = list(literals(path))
                again = [word for word in words if any(text.startswith(word) for text in texts)]
                assert not again, f"{path.relative_to(PACKAGE)} spells {again}; they are in {owner}"


def test_html_is_written_by_templates_alone():
    """A forgotten escape in a text of Python would be an injection."""
    names = "html|head|title|style|script|body|h[1-6]|p|br|table|t[rhd]|div|span|b|i|img|figure|svg|text|rect"
    tag = re.compile(rf"</?({names})[\s>/]|<!doctype", re.IGNORECASE)
    spelled = [str(path.relative_to(PACKAGE)) for path in MODULES if any(map(tag.search, literals(path)))]
    assert not spelled


@pytest.mark.parametrize(
    "path", [path for path in generated.FILES if path != generated.NETWORKS], ids=lambda path: path.name
)
def test_generated_files_are_up_to_date(path: Path):
    assert path.read_text() == generated.FILES[path](), "run scripts/generate"


GUARANTEES = sorted((PACKAGE.parent / "docs" / "guarantees").glob("*.md"))


@pytest.mark.parametrize("page", [p for p in GUARANTEES if p.name != "README.md"], ids=lambda p: p.name)
def test_each_guarantee_says_what_holds_and_its_limits_and_is_in_the_index(page: Path):
    index = (page.parent / "README.md").read_text()
    for section in page.read_text().split("\n## ")[1:]:
        title = section.partition("\n")[0]
        assert "\n- Holds: " in section, title
        assert "\n- Tests: `tests/" in section or "\n- Tests:\n  `tests/" in section, title
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        assert f"({page.name}#{anchor})" in index, title


def test_the_guarantees_and_failures_name_tests_that_exist():
    root = PACKAGE.parent
    pages = [*GUARANTEES, root / "docs" / "failures.md"]
    text = "\n".join(page.read_text() for page in pages)
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(named) > 150
    missing = [
        f"{path}::{test}"
        for path, test in named
        if not (root / path).exists() or f"def {test}(" not in (root / path).read_text()
    ]
    assert not missing
