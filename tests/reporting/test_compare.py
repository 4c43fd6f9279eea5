"""Runs side by side."""

import csv
import io
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.commands import here, refused_here
from tests.documents import assert_document
from trainer.evaluation.evaluate import evaluate
from trainer.reporting.compare import COLUMNS, ComparedRun, cells, compare, dumps, numbers, shown_columns
from trainer.reporting.comparison_page import comparison_page, labels, read_details, size_charts
from trainer.reporting.write import write_report
from trainer.runs import layout


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
    html = comparison_page([row], read_details([trained], "last")).decode()
    markup = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert len(re.findall(r"<td[ >]", markup)) == len(shown_columns([row]))
    assert row["image size"] == "8x8"
    assert 0 < (row["without pauses"] or 0) <= (row["time"] or 0) + 1
    assert cells({**row, "top 5": None})[COLUMNS.index("top 5")] == "-"


def test_a_price_gives_a_cost(trained: str) -> None:
    shown = here("compare", trained, "--price", "core_hour=1000000,currency=EUR")
    heading, row = shown.stdout.splitlines()
    assert "COST" in heading
    assert "CURRENCY" not in heading
    assert re.search(r" [\d,.]+ EUR ", row)
    (plain,) = compare([trained], None, "best")
    assert plain["cost"] is None
    assert "cost" not in shown_columns([plain])
    assert "gpu hours" not in shown_columns([plain])
    columns = shown_columns([{**plain, "gpu hours": 1.5, "cost": 0.001, "currency": "USD"}])
    assert "image size" in columns
    assert {columns[place] for place in numbers(columns)} >= {"top 1", "gpu hours", "cost"}


def test_runs_with_images_of_different_sizes_have_charts_by_size(trained: str) -> None:
    (row,) = compare([trained], "validation", "last")
    measured: ComparedRun = {**row, "top 1": 0.5, "without pauses": 600.0}
    larger: ComparedRun = {**measured, "image size": "16x36", "top 1": 0.75, "without pauses": 1200.0}
    other: ComparedRun = {**measured, "network": "dcnn", "image size": "16x16", "top 1": None}
    assert size_charts([measured, measured]) == []
    accuracy, time = size_charts([larger, other, measured])
    assert (accuracy.title, time.title) == ("top 1 by image size", "minutes by image size")
    assert accuracy.values["lines"] == [{"name": row["network"], "points": [[8.0, 0.5], [24.0, 0.75]]}]
    assert time.values["lines"] == [
        {"name": row["network"], "points": [[8.0, 10.0], [24.0, 20.0]]},
        {"name": "dcnn", "points": [[16.0, 10.0]]},
    ]


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


def test_the_page_links_to_reports_and_shows_what_differs(trained: str, tmp_path: Path) -> None:
    evaluate(trained, "validation", "best")
    write_report(trained)
    other = shutil.copytree(trained, tmp_path / "other")
    (other / layout.REPORT).unlink()
    document = json.loads((other / layout.RUN).read_text())
    document["config"]["train"]["seed"] = 77
    (other / layout.RUN).write_text(json.dumps(document))
    words = ("compare", trained, str(other), "--split", "validation", "--format", "html")
    html = here(*words).stdout
    assert re.findall(r'<a href="(file[^"]*)"', html) == [f"file://{trained}/{layout.REPORT}"]
    assert "<td>train.seed</td><td>1</td><td>77</td>" in html
    for kind in ("ranking", "lines", "scatter"):
        assert f'data-chart="{kind}"' in html
    assert "validation accuracy by epoch: run from " in html
    assert "; other from " in html


@pytest.mark.parametrize(
    ("urls", "expected"),
    [
        (["s3://a/one", "s3://a/two/"], ["one", "two"]),
        (["s3://a/one/run", "s3://a/two/run"], ["one/run", "two/run"]),
        (["s3://a/b/run", "s3://c/b/run", "s3://c/b/run"], ["a/b/run", "c/b/run", "c/b/run (3)"]),
        ([], []),
    ],
)
def test_a_run_is_named_by_as_much_of_its_url_as_tells_it_apart(urls: list[str], expected: list[str]) -> None:
    assert labels(urls) == expected
