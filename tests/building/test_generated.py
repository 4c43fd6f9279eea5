"""`scripts/generate`: what it would change is named, and changed in no other mode."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import chart_page, generated
from scripts.versions import CHARTS

pytestmark = pytest.mark.fast


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with one file that is as it is made, one that is not, and one that is not there."""
    (tmp_path / "same").write_text("a")
    (tmp_path / "old").write_text("a")
    made = {"same": "a", "old": "b", "new": "c"}
    monkeypatch.setattr(generated, "ROOT", tmp_path)
    monkeypatch.setattr(
        generated, "FILES", {tmp_path / name: (lambda text=text: text) for name, text in made.items()}
    )
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["generate", *arguments])
    with pytest.raises(SystemExit) as ended:
        generated.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_check_names_what_is_out_of_date_and_writes_nothing(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert run(monkeypatch, "--check") == 1
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == ["old", "new"]
    assert {path.name: path.read_text() for path in files.iterdir()} == {"same": "a", "old": "a"}


def test_without_check_it_is_written_and_then_up_to_date(files: Path, monkeypatch: pytest.MonkeyPatch):
    assert run(monkeypatch) == 0
    assert {path.name: path.read_text() for path in files.iterdir()} == {"same": "a", "old": "b", "new": "c"}
    assert run(monkeypatch, "--check") == 0


def leaves(values: dict[str, Any], path: str = "") -> Iterator[str]:
    """The dotted paths of all values that are no mapping with others in it."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}"


@pytest.mark.parametrize("chart", CHARTS)
def test_a_charts_readme_has_a_row_for_every_value(chart: str):
    path = chart_page.CHARTS / chart / "values.yaml"
    rows = [line for line in chart_page.chart_page(chart).splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list(leaves(yaml.safe_load(path.read_text())))
    assert all(len(row.split(" | ")) == 3 and row.endswith(" |") for row in rows)


def test_a_comment_above_a_value_follows_in_its_text(tmp_path: Path):
    path = tmp_path / "values.yaml"
    path.write_text("# Not this one.\n\na:\n  # The reason.\n  # -- What it is\n  b: {}\n# -- A sum\nc: 1\n")
    found = list(chart_page.described(path))
    assert found == [chart_page.Value("a.b", {}, "What it is. The reason"), chart_page.Value("c", 1, "A sum")]
