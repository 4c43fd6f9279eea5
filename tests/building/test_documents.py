"""What the documents name exists: files, and the places that their links lead to."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[2]
FOLDERS = ("trainer", "tests", "scripts", "helm", "k8s", "docs")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")])
HISTORY = {ROOT / "CHANGELOG.md"}
"""Names what was there once."""

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def prose(document: Path) -> str:
    """The text without blocks of code."""
    return FENCE.sub("", document.read_text())


def slugs(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    used: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ +(.+?) *#*$", prose(document), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found.add(f"{slug}-{used[slug]}" if used[slug] else slug)
        used[slug] += 1
    return found


def broken_links(document: Path) -> Iterator[str]:
    for target in LINK.findall(prose(document)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (document.parent / name).resolve() if name else document
        if not file.exists():
            yield f"{target}: there is no {name}"
        elif anchor and file.suffix == ".md" and anchor not in slugs(file):
            yield f"{target}: {file.name} has no heading #{anchor}"


def missing_files(text: str) -> Iterator[str]:
    """Names in backquotes of files that are neither at the root nor, of Python files, below a folder of code.

    `order.py`, `dataset/order.py` and `trainer/dataset/order.py` name the same file; `training/step/` is a
    folder of the package.
    """
    code = [path for folder in ("trainer", "tests", "scripts") for path in (ROOT / folder).rglob("*.py")]
    ends = {"/".join(path.parts[-count:]) for path in code for count in range(1, len(path.parts))}
    parts = {path.name for path in (ROOT / "trainer").iterdir() if path.is_dir()}
    for name in re.findall(r"`([\w./-]+)`", text):
        first = name.split("/")[0]
        if first in FOLDERS and "/" in name:
            if not (ROOT / name).exists():
                yield name
        elif name.endswith(".py"):
            if name not in ends:
                yield name
        elif name.endswith("/") and first in parts and not (ROOT / "trainer" / name).is_dir():
            yield name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path):
    assert not list(broken_links(document))


def test_a_broken_link_is_seen(tmp_path: Path):
    (tmp_path / "there.md").write_text("# A *title*, with `code`\n\n# Twice\n\n# Twice\n")
    document = tmp_path / "page.md"
    good = "[a](there.md#a-title-with-code) [b](there.md#twice-1) [c](https://example.com) [d](#here)"
    document.write_text(f"# Here\n{good}\n```\n[e](nowhere.md)\n```\n[f](gone.md) [g](there.md#none)\n")
    assert list(broken_links(document)) == [
        "gone.md: there is no gone.md",
        "there.md#none: there.md has no heading #none",
    ]


@pytest.mark.parametrize(
    "document",
    [path for path in DOCUMENTS if path not in HISTORY],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_file_that_is_named_exists(document: Path):
    assert not list(missing_files(document.read_text()))


def test_a_file_that_is_not_there_is_seen():
    good = "`errors.py` `trainer/errors.py` `gang/` `docs/metrics.md` `train.yaml` `generations/`"
    assert not list(missing_files(good))
    bad = ["trainer/gone.py", "gone.py", "preparation/errors.py", "gang/gone/", "helm/gone"]
    assert list(missing_files(" ".join(f"`{name}`" for name in bad))) == bad


def test_every_test_that_contributing_names_exists():
    named = re.findall(r"`(test_\w+)`", (ROOT / "CONTRIBUTING.md").read_text())
    known = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert named
    assert not [name for name in named if f"def {name}(" not in known]


def test_every_decision_has_a_status_a_date_and_a_row():
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    for page in sorted(folder.glob("[0-9]*.md")):
        title, _, status, *_ = page.read_text().splitlines()
        found = re.fullmatch(r"Status: (.+)\. Date: \d{4}-\d\d-\d\d\.", status)
        assert found, page.name
        number, _, text = title.removeprefix("# ").partition(". ")
        assert f"| {number} | [{text}]({page.name}) | {found[1]} | " in index
