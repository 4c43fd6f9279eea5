"""A rank that computes something else than it should is found and named, and what it did is undone."""

import re
from pathlib import Path

import pytest

from tests.run_processes import STATEFUL, Runs, committed_steps
from tests.training.fault import FAULT
from trainer.runs.findings import read_findings
from trainer.storage import open_store

MODEL = STATEFUL["model"]
TRAIN = STATEFUL["train"] | {"lanes": 12}
EVERY_STEP = {"checkpoint": {"every": "1 steps", "keep_last": 2}}

pytestmark = pytest.mark.slow


@pytest.fixture
def audited(runs: Runs, monkeypatch: pytest.MonkeyPatch):
    """Runs four ranks with a fault and an audit every five steps."""

    def run(name: str, fault: str) -> Path:
        monkeypatch.setenv(FAULT, fault)
        monkeypatch.setenv("TRAINER_NODE", "node-b")
        train = STATEFUL["train"] | {"audit": 5}
        return runs.finish(runs.config(name, model=MODEL, train=train, run=EVERY_STEP), 4)

    return run


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("1 14 once", id="once, in the step that is audited"),
        pytest.param("1 11 always", id="from a step on that is not", marks=pytest.mark.long),
    ],
)
def test_a_flipped_bit_is_found_and_the_run_ends_as_one_without_faults_or_audits(
    runs, audited, four_ranks: Path, fault: str
):
    clean = runs.digests(four_ranks)
    folder = audited("faulty", fault)
    log = (folder / "log").read_text()
    assert re.search(
        r"audit: the gradients of rank 1 \(pod \S+, node node-b, CPU\) in step 14 differ from the majority; "
        r"rolling back to the last checkpoint at or before step 10",
        log,
    )
    store = open_store(f"{folder}/run")
    [finding] = read_findings(store)
    assert (finding.step, finding.trusted, finding.certain) == (14, 10, True)
    assert "resuming at step 10 " in log, "retention kept it"
    assert re.search(r"\b2 audits passed \([\d.]+ % of training time\)", log)
    assert committed_steps(store)[0] == len(clean)
    assert runs.digests(folder)[-1] == clean[-1]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_two_ranks_that_keep_disagreeing_are_both_named_and_the_run_gives_up(runs, monkeypatch):
    monkeypatch.setenv(FAULT, "1 3 broken")
    process = runs.start(runs.config("two", model=MODEL, train=TRAIN | {"audit": 5}), 2)
    output, _ = process.communicate()
    assert process.returncode == 1
    assert re.search(
        r"audit: rank 0 \(.*\) and rank 1 \(.*\) do not agree on the gradients of step 4, ", output
    )
    assert not committed_steps(open_store(f"{runs.folder}/two/run"))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_audits_in_micro_batches_and_uneven_ranks_raise_no_alarm(runs):
    train = TRAIN | {"audit": 1, "lanes": 4, "micro_batch": 1, "xla": "on"}
    log = (runs.finish(runs.config("parts", model=MODEL, train=train), 3) / "log").read_text()
    assert re.search(r"\d\d audits passed", log)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_audits_of_an_exact_run_compare_groups(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    model = MODEL | {"batch_norm": "grouped"}
    train = TRAIN | {"exact": True, "micro_batch": 2, "audit": 5}
    clean = runs.finish(runs.config("clean", model=model, train=train), 2)
    assert re.search(r"\b4 audits passed", (clean / "log").read_text())
    monkeypatch.setenv(FAULT, "1 14 once")
    folder = runs.finish(runs.config("faulty", model=model, train=train, run=EVERY_STEP), 3)
    log = (folder / "log").read_text()
    assert "audit: rank 1 " in log
    assert "computed other gradients than the others in step 14" in log
    assert runs.digests(folder)[-1] == runs.digests(clean)[-1], "also on another number of ranks"
