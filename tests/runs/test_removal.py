"""`trainer runs --remove` deletes a run and nothing else; an interruption leaves one that can be removed."""

import json
import time
from pathlib import Path

import pytest

from tests.runs.test_claim import SLOW, commit
from trainer.cli.app import app
from trainer.errors import ConfigError, DataError, RunError
from trainer.runs import layout
from trainer.runs.claim import claim_folder
from trainer.runs.fence import Fence, Superseded, publish
from trainer.runs.find_runs import find_runs
from trainer.runs.removal import find_removable, remove
from trainer.runs.run_document import Reached, RunResult
from trainer.storage import Store, join, open_store
from trainer.storage.file import FileStore


def finished_run(url: str) -> Fence:
    store = open_store(url)
    fence, _ = claim_folder(store, SLOW, {})
    for step in (5, 10):
        commit(store, fence, step)
    for key in (layout.METRICS, layout.weights("best"), layout.weights("last")):
        publish(store, fence, key, b"epoch\n")
    publish(store, fence, layout.FINISHED, RunResult(3, 10, False, Reached(3, {})).dumps())
    return fence


def begun_run(url: str) -> Fence:
    return claim_folder(open_store(url), SLOW, {})[0]


@pytest.fixture
def prefix(store_url: str) -> Store:
    """A finished run with somebody's notes in it, one below it, and one that has just begun."""
    finished_run(join(store_url, "done"))
    finished_run(join(store_url, "done/more"))
    begun_run(join(store_url, "begun"))
    open_store(store_url).put("done/notes.md", b"mine")
    return open_store(store_url)


def names(prefix: Store) -> list[str]:
    return [run.name for run in find_runs(prefix)]


def test_what_the_run_wrote_goes_and_nothing_else(prefix: Store):
    found = find_removable(prefix, "done")
    assert (found.url, found.others) == (f"{prefix.url}/done", 1 + 9)
    remove(found.url)
    assert names(prefix) == ["begun", "done/more"]
    assert [i.key for i in prefix.list("done/") if not i.key.startswith("done/more/")] == ["done/notes.md"]


def test_the_prefix_itself_may_be_the_run(prefix: Store):
    remove(find_removable(open_store(f"{prefix.url}/done/more"), ".").url)
    assert names(prefix) == ["begun", "done"]


@pytest.mark.parametrize("name", ["nothing", "done/mor", "begun/weights"])
def test_what_is_no_run_is_not_removed(prefix: Store, name: str):
    with pytest.raises(DataError, match="there is no run here"):
        find_removable(prefix, name)


@pytest.mark.parametrize("name", ["", "/", "..", "../other", "a//b", "done/./more"])
def test_a_name_does_not_lead_elsewhere(prefix: Store, name: str):
    with pytest.raises(ConfigError, match="expected the name of a run"):
        find_removable(prefix, name)


def test_a_run_that_may_be_running_is_not_removed_unless_forced(prefix: Store):
    with pytest.raises(RunError, match=r"written to \d s ago and may be running") as refused:
        find_removable(prefix, "begun")
    assert "--force" in refused.value.remedy
    assert find_removable(prefix, "begun", force=True).objects == 3
    assert find_removable(prefix, "begun", now=time.time() + 3600).objects == 3
    with pytest.raises(RunError):  # checkpoints every 5 minutes: two of them may be 10 apart
        find_removable(prefix, "begun", now=time.time() + 400)


def test_a_process_that_still_runs_it_is_stopped(prefix: Store):
    fence = Fence.take(open_store(f"{prefix.url}/begun"), {})
    remove(find_removable(prefix, "begun", force=True).url)
    with pytest.raises(Superseded, match="the run was deleted"):
        publish(fence.store, fence, layout.METRICS, b"late")
    assert "begun" not in names(prefix)


def test_an_interruption_leaves_a_run_that_can_be_removed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    deleted = 0
    delete = FileStore.delete

    def one_of(limit: int) -> None:
        nonlocal deleted
        deleted = 0

        def counted(store: FileStore, key: str) -> None:
            nonlocal deleted
            deleted += 1
            if deleted > limit:
                raise KeyboardInterrupt
            delete(store, key)

        monkeypatch.setattr(FileStore, "delete", counted)

    for limit in range(20):
        url = f"{tmp_path}/{limit}/run"
        finished_run(url)
        one_of(limit)
        try:
            remove(url)
        except KeyboardInterrupt:
            pass
        else:
            break
        (run,) = find_runs(open_store(f"{tmp_path}/{limit}"))
        there = {info.key for info in open_store(url).list()}
        assert run.state != "finished" or layout.weights("best") in there, limit
        monkeypatch.setattr(FileStore, "delete", delete)
        remove(find_removable(open_store(f"{tmp_path}/{limit}"), "run", force=True).url)
        assert not list(open_store(url).list())
    assert limit == deleted == 10


def test_it_asks_and_without_a_terminal_it_wants_yes(
    prefix: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(ConfigError, match="stdin is not a terminal"):
        app(["runs", prefix.url, "--remove", "done"], standalone_mode=False)
    assert "done" in names(prefix)
    app(
        ["runs", prefix.url, "--remove", "done", "--remove", "begun", "--yes", "--force"],
        standalone_mode=False,
    )
    assert capsys.readouterr().out == f"removed {prefix.url}/done\nremoved {prefix.url}/begun\n"
    app(["runs", prefix.url, "--remove", "done/more", "--yes", "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out) == {"removed": [f"{prefix.url}/done/more"]}
