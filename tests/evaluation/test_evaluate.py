"""`trainer evaluate` on a run that was trained."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.commands import here, refused_here
from tests.documents import assert_document
from tests.inference.conftest import predicted
from tests.trained import CLASSES, images
from trainer.dataset.open_dataset import open_dataset
from trainer.errors import DataError
from trainer.evaluation.evaluate import evaluate, held_out
from trainer.inference.results.prediction_summary import PredictionSummary
from trainer.preparation.prepare import prepare
from trainer.runs import layout
from trainer.runs.documents.evaluation_values import EvaluationDocument
from trainer.storage import open_store


def test_a_split_is_evaluated_and_written_beside_the_run(trained: str, tmp_path: Path) -> None:
    shown = here("evaluate", trained, "--split", "train", "--sensitivity", "--json", "--batch-size", "4")
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert_document(found, EvaluationDocument)
    assert found["rows"] == sum(map(sum, found["confusion"])) == 9
    assert [one["class"] for one in found["classes"]] == list(CLASSES)
    assert set(found["sensitivity"]) >= {"turned by 90 degrees", "moved up by 10 %"}
    assert all(found[name] == value for name, value in written(trained, "train").items())
    summary = predicted(
        trained, found["dataset"]["url"], tmp_path / "out", split="train", batch_size=4, format="csv"
    )
    assert_document(summary, PredictionSummary)
    assert summary["accuracy"] == found["top1"], "as predictions of the same rows"


def written(run: str, split: str) -> dict[str, Any]:
    key = layout.evaluation(split, "best")
    assert layout.split_run(key) == ("", key), "it is the run's, and goes with it"
    found: dict[str, Any] = json.loads(open_store(run).get(key))
    return found


def test_figures_do_not_depend_on_the_batch(trained: str) -> None:
    one, four = (evaluate(trained, "validation", "best", batch_size=size) for size in (1, 4))
    assert one["loss"] == pytest.approx(four["loss"], abs=2e-6)
    assert one["confusion"] == four["confusion"]


def test_a_dataset_without_held_out_images_names_the_split_to_choose(tmp_path: Path) -> None:
    url = prepare(str(images(tmp_path / "images", 4, *CLASSES)), f"{tmp_path}/data", validation=0, test=0).url
    with pytest.raises(DataError, match="neither a test nor a validation split") as error:
        held_out(open_dataset(url))
    assert "--split train" in error.value.remedy


def test_what_cannot_be_evaluated(trained: str) -> None:
    with pytest.raises(DataError, match="expected a split 'dev'"):
        evaluate(trained, "dev", "best")
    assert "there is no run here" in refused_here("evaluate", trained + "-other")
