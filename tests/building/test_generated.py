"""`scripts/generate`: what it would change is named, and changed in no other mode."""

from pathlib import Path

import pytest

from scripts import generated

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
