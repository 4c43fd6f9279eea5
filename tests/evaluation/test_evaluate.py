"""`trainer evaluate` on a run that was trained."""

import json
import shutil
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
from trainer.evaluation.perturbations import parse_change
from trainer.inference.results.prediction_summary import PredictionSummary
from trainer.preparation.prepare import prepare
from trainer.reporting.write import write_report
from trainer.runs import layout
from trainer.runs.documents.changed_values import ChangedDocument
from trainer.runs.documents.evaluation_values import EvaluationDocument
from trainer.storage import open_store


def test_a_split_is_evaluated_and_written_beside_the_run(trained: str, tmp_path: Path) -> None:
    shown = here("evaluate", trained, "--split", "train", "--sensitivity", "--json", "--batch-size", "4")
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert_document(found, EvaluationDocument)
    assert found["rows"] == sum(map(sum, found["confusion"])) == 9
    assert [one["class"] for one in found["classes"]] == list(CLASSES)
    changes = {one["change"]: one for one in found["sensitivity"]["changes"]}
    assert set(changes) >= {"turned by 90 degrees", "moved up by 10 %", "turned by up to 45 degrees"}
    assert all(0 <= one["top1"] <= 1 and one["loss"] > 0 for one in changes.values())
    # The images are of one colour each: only their weighting at the edges could change them.
    assert changes["turned by 90 degrees"]["top1"] == found["top1"]
    assert changes["turned by 90 degrees"]["loss"] == pytest.approx(found["loss"], abs=1e-5)
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


def test_changes_are_repeatable_and_do_not_depend_on_the_batch(trained: str) -> None:
    changes = [parse_change(text, 7) for text in ("brightness=0.9,rotate=90", "turn=180")]
    one, four = (
        evaluate(trained, "validation", "best", changes=changes, seed=7, batch_size=size) for size in (1, 4)
    )
    assert one["sensitivity"]
    assert four["sensitivity"]
    assert one["sensitivity"]["seed"] == 7
    for left, right in zip(one["sensitivity"]["changes"], four["sensitivity"]["changes"], strict=True):
        assert (left["change"], left["top1"]) == (right["change"], right["top1"])
        assert left["loss"] == pytest.approx(right["loss"], abs=2e-6)
    darker, _ = one["sensitivity"]["changes"]
    assert darker["loss"] != pytest.approx(one["loss"], abs=1e-3)
    assert "--change" in refused_here("evaluate", trained, "--change", "rotate=1000")


def test_the_report_shows_images_as_each_change_makes_them(trained: str, tmp_path: Path) -> None:
    run = str(shutil.copytree(trained, tmp_path / "run"))
    evaluate(run, "validation", "best", changes=[parse_change("turn=90", 1)])
    store = open_store(run)
    samples = json.loads(store.get(layout.CHANGED_IMAGES))
    assert_document(samples, ChangedDocument)
    assert [one["change"] for one in samples["changes"]] == ["unchanged", "turned by 90 degrees"]
    write_report(run)
    assert store.get(layout.REPORT).decode().count('<span class="strip"><img') == 2
    evaluate(run, "validation", "best")
    write_report(run)
    assert b'<span class="strip">' not in store.get(layout.REPORT), "the newest evaluation has none"


def test_a_dataset_without_held_out_images_names_the_split_to_choose(tmp_path: Path) -> None:
    url = prepare(str(images(tmp_path / "images", 4, *CLASSES)), f"{tmp_path}/data", validation=0, test=0).url
    with pytest.raises(DataError, match="neither a test nor a validation split") as error:
        held_out(open_dataset(url))
    assert "--split train" in error.value.remedy


def test_what_cannot_be_evaluated(trained: str) -> None:
    with pytest.raises(DataError, match="expected a split 'dev'"):
        evaluate(trained, "dev", "best")
    assert "there is no run here" in refused_here("evaluate", trained + "-other")
