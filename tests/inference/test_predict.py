"""Images below a prefix become predictions, and a bad one does not stop the others."""

import json
from pathlib import Path

from tests.commands import refused, trainer, training
from trainer.storage import open_store


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
