"""What `trainer runs` and `trainer weights` say of the runs below a prefix."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.commands import here, refused_here
from tests.documents import assert_document
from tests.run_processes import Runs
from tests.training.in_process import train
from trainer.runs.find_runs import ListedRun, find_runs
from trainer.runs.run_document import Reached
from trainer.storage import open_store

CONFIG = {
    "model": {"name": "lab-cnn"},
    "data": {"url": "s3://bucket/cars"},
    "train": {"epochs": 3},
}


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    """A run that has begun, one in its second epoch, a finished one, and something else."""
    store = open_store(str(tmp_path))
    for name in ("begun", "going", "done/by me"):
        store.put(f"{name}/run.json", json.dumps({"version": 1, "config": CONFIG}).encode())
    for step in (9, 12):
        store.put(f"going/checkpoints/{step:010d}/00000001-abc/commit.json", b"{}")
    store.put("going/checkpoints/0000000099/00000001-abc/state.json", b"{}")
    store.put("going/metrics.csv", b"epoch,accuracy,loss,val_accuracy\n0,0.25,2.0,0.5\n")
    end = {"version": 1, "epochs": 3, "steps": 30, "stopped_early": False, "metrics": {"test_accuracy": 0.75}}
    store.put("done/by me/finished.json", json.dumps(end).encode())
    store.put("notes/readme.md", b"")
    return str(tmp_path)


def test_runs_are_listed_with_how_far_they_are(prefix: str):
    begun, done, going = find_runs(open_store(prefix))
    assert (begun.name, begun.state, begun.epochs, begun.of, begun.step) == ("begun", "begun", 0, 3, 0)
    assert (going.name, going.state, going.epochs, going.of, going.step) == ("going", "unfinished", 1, 3, 12)
    assert (done.name, done.state, done.epochs, done.of, done.step) == ("done/by me", "finished", 3, 3, 30)
    assert begun.best is None
    assert going.best == Reached(1, {"accuracy": 0.25, "loss": 2.0, "val_accuracy": 0.5})
    assert (done.best, done.last) == (None, Reached(3, {"test_accuracy": 0.75})), "a file of version 1"
    assert (going.network, going.dataset) == ("lab-cnn", "s3://bucket/cars")


def test_a_run_that_was_given_more_epochs_is_no_finished_one(prefix: str):
    """As when it was interrupted in its fifth epoch of six; run.json may still say three."""
    store = open_store(f"{prefix}/done/by me")
    store.put("metrics.csv", b"epoch,accuracy\n0,0.1\n1,0.2\n2,0.3\n3,0.4\n")
    store.put("checkpoints/0000000040/00000002-abc/commit.json", b"{}")
    (run,) = find_runs(store)
    assert (run.state, run.epochs, run.of, run.step) == ("unfinished", 4, 4, 40)
    store.put("run.json", json.dumps({"version": 1, "config": CONFIG | {"train": {"epochs": 6}}}).encode())
    (run,) = find_runs(store)
    assert (run.state, run.epochs, run.of) == ("unfinished", 4, 6)


def test_a_prefix_may_be_one_run(prefix: str):
    (going,) = find_runs(open_store(f"{prefix}/going"))
    assert (going.step, going.epochs, going.url) == (12, 1, f"file://{prefix}/going")


def test_where_no_run_is_it_says_so(prefix: str):
    said = refused_here("runs", f"{prefix}/notes")
    assert "there is no run here" in said
    assert "run.json" in said


def test_a_newer_run_and_a_damaged_one_are_named(prefix: str):
    Path(prefix, "begun/run.json").write_text('{"version": 2}')
    assert "begun: run.json has version 2; this trainer reads versions up to 1" in refused_here(
        "runs", prefix
    )
    Path(prefix, "begun/run.json").write_text("{")
    assert "begun: run.json is corrupt" in refused_here("runs", prefix)


def test_the_weights_of_any_checkpoint(runs: Runs, tmp_path: Path):
    config = runs.config(
        "one", train={"epochs": 2}, run={"url": f"{tmp_path}/run", "checkpoint": {"every": "1 steps"}}
    )
    train(config)
    run = f"{tmp_path}/run"
    listed = json.loads(here("runs", run, "--json").stdout)
    assert_document(listed, list[ListedRun])
    assert [(r["state"], r["epochs"]) for r in listed] == [("finished", 2)]
    end = listed[0]["step"]
    last = here("weights", run, "--last", f"{tmp_path}/new/folder/").stdout.strip()
    assert last == f"{tmp_path}/new/folder/last.weights.h5"
    assert "expected a file or a folder" in refused_here("weights", run, "s3://bucket/x")
    same = here("weights", run, "--step", str(end), str(tmp_path)).stdout.strip()
    before = here("weights", run, "--step", str(end - 1), str(tmp_path / "before.weights.h5")).stdout.strip()
    assert Path(same).name == f"step-{end}.weights.h5"
    assert contents(same) == contents(last) != contents(before)
    said = refused_here("weights", run, "--step", "999", str(tmp_path))
    assert "no checkpoint of step 999. Steps with a checkpoint: " in said
    assert said.endswith(f", {end - 1}, {end}")


def contents(path: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = np.asarray(item[()]).tobytes()

    with h5py.File(path) as file:
        file.visititems(visit)
    return found
