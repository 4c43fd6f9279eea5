"""pyproject.toml holds the version; every other place has it from there."""

from pathlib import Path

import pytest

from scripts import versions
from trainer import __version__

pytestmark = pytest.mark.fast


def test_package_lock_and_project_are_of_one_version():
    assert versions.version() == versions.locked() == __version__


@pytest.mark.parametrize("path", versions.PLACES, ids=lambda path: str(path.relative_to(versions.ROOT)))
def test_a_new_version_changes_every_place_and_nothing_else(path: Path):
    text = path.read_text()
    changed = versions.stamped(path, "98.7.6")
    assert changed.count("98.7.6") == len(versions.PLACES[path]) == text.count(versions.version())
    assert changed.replace("98.7.6", versions.version()) == text


def test_a_place_that_is_gone_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "Chart.yaml"
    path.write_text("name: cars\n")
    monkeypatch.setattr(versions, "ROOT", tmp_path)
    monkeypatch.setitem(versions.PLACES, path, (r"^(version: )\S+",))
    with pytest.raises(ValueError, match="found it 0 times"):
        versions.stamped(path, "1.0.0")
