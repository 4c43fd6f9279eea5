"""`trainer log`: the epochs of a run as a table, CSV, JSON and curves, with time and cost."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.commands import here, refused_here
from tests.documents import assert_document
from trainer.reporting.run_log import LoggedRun
from trainer.runs import layout
from trainer.runs.timing import read_timing
from trainer.storage import open_store

DOCUMENT = Path(__file__).parents[2] / "docs" / "after-a-run.md"


def test_every_epoch_has_its_metrics_and_the_run_its_hours(trained: str) -> None:
    found = json.loads(here("log", trained, "--json", "--price", "gpu_hour=3,core_hour=7200").stdout)
    assert_document(found, LoggedRun)
    timing = read_timing(open_store(trained).get(layout.TIMING))
    assert [row["epoch"] for row in found["epochs"]] == [row.epoch + 1 for row in timing]
    assert found["epochs"][0]["metrics"]["val_accuracy"] >= 0
    assert found["without_pauses"] == pytest.approx(sum(row.seconds for row in timing), abs=1e-3)
    assert found["cost"] == pytest.approx(2 * sum(row.seconds * row.cores for row in timing), abs=1.0)
    assert (found["currency"], found["finished"], found["best"] in (1, len(timing))) == ("USD", True, True)
    shown = here("log", trained, "--price", "core_hour=7200,currency=EUR")
    assert shown.returncode == 0, shown.stderr
    heading, first, *_ = shown.stdout.splitlines()
    assert heading.split()[:5] == ["EPOCH", "ACCURACY", "LOSS", "VAL_ACCURACY", "VAL_LOSS"]
    assert re.match(r"1( best)? +[\d.]+ ", first)
    assert re.search(r"^cost +[\d,.]+ EUR$", shown.stdout, re.MULTILINE)
    assert re.search(r"^time +\d+ s without pauses$", shown.stdout, re.MULTILINE)


def test_it_is_csv_a_file_and_curves(trained: str, tmp_path: Path) -> None:
    stored = open_store(trained).get(layout.METRICS)
    assert here("log", trained, "--format", "csv").stdout.encode() == stored
    assert here("log", trained, "--output", f"{tmp_path}/training.log").stdout == f"{tmp_path}/training.log\n"
    assert (tmp_path / "training.log").read_bytes() == stored
    drawn = here("log", trained, "--plot").stdout
    assert drawn.startswith("accuracy by epoch   * training   o validation\n")
    assert "loss by epoch" in here("log", trained, "--metric", "loss").stdout
    assert "no epoch has a metric 'top9'" in refused_here("log", trained, "--metric", "top9")


def test_before_the_first_epoch_there_is_nothing_to_write(trained: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(Path(trained, layout.RUN), run)
    assert "epochs  0 of" in here("log", str(run)).stdout
    for words in (["--output", f"{tmp_path}/log"], ["--format", "csv"]):
        assert "no epoch has ended" in refused_here("log", str(run), *words)
    assert not (tmp_path / "log").exists()
    assert "there is no run here" in refused_here("log", f"{trained}-other")
    assert "'--price'" in refused_here("log", trained, "--price", "gpu_hour=-1")


def test_the_lines_for_gnuplot_draw_the_columns_that_they_name(trained: str, tmp_path: Path) -> None:
    """Columns 1, 2 and 4 are what the source document plots."""
    lines = re.search(r"```gnuplot\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert lines
    assert '"training.log" using 1:2' in lines[1]
    assert '"training.log" using 1:4' in lines[1]
    columns = open_store(trained).get(layout.METRICS).decode().splitlines()[0].split(",")
    assert (columns[0], columns[1], columns[3]) == ("epoch", "accuracy", "val_accuracy")
    if shutil.which("gnuplot"):
        here("log", trained, "--output", f"{tmp_path}/training.log")
        script = f"set terminal dumb\nset key outside\n{lines[1]}"
        done = subprocess.run(["gnuplot"], input=script, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert "train_acc" in done.stdout
