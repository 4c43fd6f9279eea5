"""Runs side by side."""

import csv
import io
import json

from tests.commands import here, refused_here
from tests.documents import assert_document
from trainer.evaluation.evaluate import evaluate
from trainer.reporting.compare import COLUMNS, ComparedRun, cells, compare, dumps


def test_runs_are_compared_by_their_evaluations(trained: str) -> None:
    found = evaluate(trained, "validation", "last")
    (row,) = compare([trained], "validation", "last")
    assert tuple(row) == COLUMNS
    assert_document(row, ComparedRun)
    assert (row["top 1"], row["parameters"], row["remark"]) == (found["top1"], found["parameters"], None)
    assert (row["parameters"] or 0) > 100
    assert (row["time"] or 0) > 0
    assert next(csv.DictReader(io.StringIO(dumps([row], "csv"))))["top 1"] == str(found["top1"])
    assert json.loads(dumps([row], "json")) == [row]
    assert dumps([row], "html").count("<td>") == len(COLUMNS)
    assert cells({**row, "top 5": None})[COLUMNS.index("top 5")] == "-"


def test_without_a_split_each_run_has_its_own(trained: str) -> None:
    found = evaluate(trained, None, "best")
    (row,) = compare([trained], None, "best")
    assert (row["split"], row["top 1"]) == ("validation", found["top1"])
    assert row["remark"] == "not evaluated on a test split"


def test_what_is_missing_is_said(trained: str) -> None:
    (row,) = compare([trained], "test", "last")
    assert row["remark"] == f"not evaluated: trainer evaluate file://{trained} --split test --weights last"
    shown = here("compare", trained, trained, "--split", "test", "--weights", "last")
    assert shown.returncode == 0
    assert shown.stdout.count("not evaluated") >= 1
    assert "there is no run here" in refused_here("compare", f"{trained}-other")
