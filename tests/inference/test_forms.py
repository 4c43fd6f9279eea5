"""The same predictions in every form."""

import csv
import json
from pathlib import Path

import pytest
from pyarrow import parquet

from tests.inference.conftest import invalid, predicted, rows
from tests.trained import images
from trainer.inference import keys

NAME = 'quote " and, comma/ü.png'
FOUND = ("image", "class_id", "class_name", "probability")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = images(tmp_path_factory.mktemp("photos"), 3, Path(NAME).parent.name)
    (folder / NAME).write_bytes((folder / NAME).with_name("0.png").read_bytes())
    return folder


@pytest.fixture(scope="module")
def lines(trained: str, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """Those of JSON Lines."""
    out = tmp_path_factory.mktemp("lines")
    predicted(trained, folder, out, part_size=3)
    found = list(rows(out))
    assert len(found) == 4
    assert NAME in {row["image"] for row in found}
    return found


def test_csv(trained: str, folder: Path, lines: list[dict[str, object]], tmp_path: Path) -> None:
    predicted(trained, folder, tmp_path, part_size=3, format="csv")
    found = [
        row
        for number in range(2)
        for row in csv.DictReader((tmp_path / keys.predictions(number, "csv")).open(newline=""))
    ]
    assert found == [{name: str(line[name]) for name in FOUND} for line in lines]


def test_parquet(trained: str, folder: Path, lines: list[dict[str, object]], tmp_path: Path) -> None:
    summary = predicted(trained, folder, tmp_path, part_size=3, format="parquet")
    assert summary["predicted"] == len(lines)
    assert parquet.read_table(sorted(tmp_path.glob("*.parquet"))).to_pylist() == lines


def test_parquet_without_pyarrow(
    trained: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.inference.forms.find_spec", lambda name: None)
    assert "pip install pyarrow" in invalid(trained, folder, tmp_path / "out", format="parquet")
    assert not (tmp_path / "out").exists()


def test_one_list_as_in_the_source_document(
    trained: str, folder: Path, lines: list[dict[str, object]], tmp_path: Path
) -> None:
    predicted(trained, folder, tmp_path, part_size=3, format="json")
    text = (tmp_path / keys.RESULTS).read_text()
    found = [{name: line[name] for name in FOUND} for line in lines]
    assert json.loads(text) == found
    assert text == json.dumps(found, indent=4, ensure_ascii=False) + "\n"
    assert list(rows(tmp_path)) == lines
