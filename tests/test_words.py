"""Plain English on every screen and in every document."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "trainer").rglob("*.py"))
PAGES = sorted(
    path
    for pattern in (
        "*.md",
        "trainer/**/*.html",
        "docs/**/*.md",
        "helm/*/README.md",
        "helm/*/values.yaml",
        "helm/*/alerts/*",
        "helm/*/templates/*",
        "k8s/**/*.yaml",
    )
    for path in ROOT.glob(pattern)
    if path.is_file()
)

PHRASES = {
    r"(?<!there )\b(?:is|are|was|were) no (?!longer\b|more\b|less\b|other\b|need\b)": "is not a/an",
    r"\bso many\b": "N, this many",
    r"\b(?:taken|takes|take) for\b": "treated as, predicted as",
    r"\b(?:goes|go|went|going) on\b(?! to\b)": "continues, resumes",
    r"\b(?:begins?|starts?|begun|started) anew\b": "starts over",
    r"\bpassed over\b": "skipped",
    r"\bof before\b": "from earlier versions, previous",
    r"\bmeanwhile\b": "in the meantime",
    r"\btold\b": "reported",
    r"\b(?:is|are|was|were|be|being) said\b": "reported, logged, printed",
    r"\bmakes? no sense\b": "is not valid",
    r"\bfor good\b": "permanently",
    r"\banswers? to\b": "matches",
    r"\bnothing more\b": "no further",
    r"\bcame back\b|\bis back\b": "recovered, is available again",
    r"\b1 (?:classes|epochs|images|ranks|steps|shards|rows|pods|failures|files|workers)\b": "the singular",
    r"\brights\b": "permissions",
}
BEGINNINGS = ("Of", "That", "Those", "As", "By", "With", "To", "For", "Not", "And", "But")
PROPER = re.compile(
    r"[A-Z][a-z]*[A-Z0-9]|[A-Z]\b|(?:Keras|Horovod|Kubernetes|Python|Pillow|Prometheus|Stanford|Ctrl)\b"
)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a page but the table of what not to write, or the texts and docstrings of a module, each
    with the number of its line."""
    if path.suffix != ".py":
        lines = enumerate(path.read_text().splitlines(), 1)
        yield from ((number, line) for number, line in lines if not line.startswith('| "'))
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            value = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield statement.lineno, value.value


def messages(path: Path) -> Iterator[tuple[int, str]]:
    """The first argument of each error that is raised."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            first = node.exc.args[0]
            if isinstance(first, ast.JoinedStr) and first.values:
                first = first.values[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield node.lineno, first.value


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_phrase_is_nowhere(phrase: str) -> None:
    pattern = re.compile(phrase, re.IGNORECASE)
    assert [
        f"{path.relative_to(ROOT)}:{line}: {text.strip()[:100]!r}"
        for path in [*MODULES, *PAGES]
        for line, text in texts(path)
        if pattern.search(text)
    ] == [], f"say: {PHRASES[phrase]}"


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    assert [
        f"{path.relative_to(ROOT)}:{line}: {text[:80]!r}"
        for path in MODULES
        for line, text in docstrings(path)
        if text.split(maxsplit=1)[:1] and text.split(maxsplit=1)[0].strip(",:") in BEGINNINGS
    ] == []


def test_errors_begin_in_lower_case() -> None:
    assert [
        f"{path.relative_to(ROOT)}:{line}: {text[:80]!r}"
        for path in MODULES
        for line, text in messages(path)
        if text[:1].isupper() and not PROPER.match(text)
    ] == []
