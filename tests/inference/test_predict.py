"""Images below a prefix become predictions, and a bad one does not stop the others."""

import json
from pathlib import Path

import pytest

from tests.commands import refused, trainer, training
from trainer.storage import open_store


@pytest.fixture
def no_tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow cannot be imported by the processes that a test starts."""
    package = tmp_path / "modules" / "tensorflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemError('TensorFlow was imported')\n")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))


def test_what_is_wrong_with_the_urls_is_said_before_tensorflow_is_imported(
    dataset: str, s3: str, folders: Path, request: pytest.FixtureRequest
):
    run = f"{s3}/run"
    assert trainer(*training(dataset, run)).returncode == 0
    request.getfixturevalue("no_tensorflow")
    good = {"--run": run, "--input": str(folders), "--output": f"{s3}/out"}

    def said(**wrong: str) -> str:
        given = good | {f"--{name}": value for name, value in wrong.items()}
        return refused("predict", *(word for pair in given.items() for word in pair))

    assert "there is no run here" in said(run=f"{s3}/other")
    assert "no image found" in said(input=f"{s3}/nothing")
    assert "there is no bucket 'nowhere'" in said(output="s3://nowhere/out")
    open_store(run).delete("weights/best.weights.h5")
    assert "has no best weights yet" in said()


def test_prediction_survives_bad_images_and_reports_them(dataset: str, s3: str, folders: Path):
    assert trainer(*training(dataset, f"{s3}/run")).returncode == 0
    (folders / "cat" / "broken.png").write_bytes(b"no image")
    predict = ["predict", "--run", f"{s3}/run", "--input", str(folders), "--output", f"{s3}/out"]
    assert "max_bad_fraction" in refused(*predict, "--set", "max_bad_fraction=0.01")
    done = trainer(*predict, "--json")
    assert json.loads(done.stdout) | {"output": ""} == {
        "classified": 12,
        "unreadable": 1,
        "parts": 1,
        "output": "",
    }
    store = open_store(f"{s3}/out")
    classified = [json.loads(line) for line in store.get("predictions-00000.jsonl").splitlines()]
    assert {row["class"] for row in classified} <= {"cat", "cow", "dog"}
    assert all(len(row["top"]) == 3 for row in classified)
    (bad,) = (json.loads(line) for line in store.get("errors-00000.jsonl").splitlines())
    assert bad["name"] == "cat/broken.png"
