"""Whoever dies, whenever: the run goes on at its last checkpoint and ends with the undisturbed run's bits."""

import os
import random
import re
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from statistics import median

import pytest

from scripts.processes import free_port
from tests.gang.gangs import Pod, Run, alive, wait_for
from tests.run_processes import EXACT, Runs, committed_steps
from trainer.config import load
from trainer.storage import open_store

pytestmark = pytest.mark.slow

GROUPED = EXACT | {"model": EXACT["model"] | {"batch_norm": "grouped"}}
LONG = EXACT | {"train": EXACT["train"] | {"epochs": 48, "validation_freq": 3}}
"""Long enough for thirty interruptions, ten of them in the validations."""


@pytest.fixture(scope="module")
def long_undisturbed(tmp_path_factory, digits) -> Path:
    runs = Runs(tmp_path_factory.mktemp("long-undisturbed"), digits)
    return runs.finish(runs.config("undisturbed", **LONG), 2)


def files(folder: Path) -> dict[str, bytes]:
    """What people download of a run."""
    return {name: (folder / "run" / name).read_bytes() for name in ("metrics.csv", "weights/last.weights.h5")}


def committed(folder: Path) -> list[int]:
    return committed_steps(open_store(f"file://{folder}/run"))


def done(runs, folder: Path) -> int:
    """Steps that were finished, those done twice counted twice."""
    return len(runs.digests(folder)) if (folder / "digests-0").exists() else 0


def wait_for_a_moment(runs, folder: Path, process, generator: random.Random, number: int) -> None:
    """Of each three moments one is in the next validation, and two a few steps on, whatever goes on then."""
    if number % 3 == 0:
        validations = folder / "validations-0"
        begun = validations.stat().st_size if validations.exists() else 0
        while process.poll() is None and (not validations.exists() or validations.stat().st_size == begun):
            time.sleep(0.01)
    else:
        wait_for_steps(runs, folder, done(runs, folder) + generator.randrange(1, 8), process)
        time.sleep(generator.random() * 0.1)


def wait_for_steps(runs, folder: Path, steps: int, process) -> None:
    while process.poll() is None and done(runs, folder) < steps:
        time.sleep(0.01)


def same_weights(runs, one: Path, other: Path) -> bool:
    return all((a == b).all() for a, b in zip(runs.weights(one), runs.weights(other), strict=True))


def test_killed_as_a_whole_in_mid_epoch_it_ends_with_the_same_bits(runs, two_ranks):
    config = runs.config("killed", **EXACT)
    folder = config.parent
    process = runs.start(config, 2)
    wait_for_steps(runs, folder, 30, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    finished, newest = done(runs, folder), max(committed(folder))
    assert 0 < newest <= finished
    assert newest % 20, "a checkpoint in mid-epoch"

    runs.finish(config, 2)
    digests, expected = runs.digests(folder), runs.digests(two_ranks)
    assert digests[:finished] == expected[:finished]
    assert digests[finished:] == expected[newest:]
    assert same_weights(runs, folder, two_ranks)
    assert files(folder)["metrics.csv"] == files(two_ranks)["metrics.csv"]


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.long)])
def test_a_lost_rank_is_replaced_and_no_finished_step_is_lost(runs, two_ranks, number: signal.Signals):
    """The other one survives in its process, with its compiled step."""
    config = runs.config("rank-lost", **EXACT)
    folder = config.parent
    process = runs.start(config, 2)
    wait_for_steps(runs, folder, 30, process)
    os.kill(int((folder / "pid-1").read_text()), number)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    cause = "rank 1 was killed by SIGKILL" if number is signal.SIGKILL else "rank 1 .* stopped by a signal"
    assert re.search(cause, output), output
    assert same_weights(runs, folder, two_ranks)
    assert runs.digests(folder) == runs.digests(two_ranks)
    assert generations(folder, 0) == [2]
    assert generations(folder, 1) == [1, 1]
    assert len((folder / "steps-0").read_text().split()) == 1, "it is not compiled again"


def test_a_killed_chief_loses_no_finished_step(runs, two_ranks, monkeypatch):
    """The other rank keeps its state in memory: no checkpoint is due in this run. A parked process takes the
    chief's place."""
    monkeypatch.setenv("TEST_SPARES", "1")
    config = runs.config("chief-lost", **EXACT | {"run": {"checkpoint": {"every": "1000 steps"}}})
    folder = config.parent
    process = runs.start(config, 2)
    wait_for_steps(runs, folder, 30, process)
    os.kill(int((folder / "pid-0").read_text()), signal.SIGKILL)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "a parked process replaces rank 0" in output
    assert "rank 1 holds the newest state, in memory" in output
    assert runs.digests(folder, 1) == runs.digests(two_ranks)
    assert same_weights(runs, folder, two_ranks)
    assert files(folder)["metrics.csv"] == files(two_ranks)["metrics.csv"]
    assert (generations(folder, 0), generations(folder, 1)) == ([1, 1], [2])
    assert committed(folder)[-1] > 30, "what it kept was saved soon"


@pytest.mark.parametrize("lost", [0, pytest.param(1, marks=pytest.mark.long)])
def test_asked_to_stop_while_a_lost_rank_is_replaced_it_saves_what_the_other_one_keeps(runs, lost: int):
    """It leaves no process behind: here the chief is lost, or the chief is the one that keeps its state."""
    config = runs.config("stopped", **EXACT | {"run": {"checkpoint": {"every": "1000 steps"}}})
    folder = config.parent
    process = runs.start(config, 2)
    wait_for_steps(runs, folder, 30, process)
    os.kill(int((folder / f"pid-{lost}").read_text()), signal.SIGKILL)
    log = "".join(read_until(process, "keep their state"))
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate()
    assert process.returncode == 75, log + output
    assert committed(folder)[0] == len(runs.digests(folder, 1 - lost)), log + output
    assert not alive(int((folder / f"pid-{1 - lost}").read_text()))


def read_until(process, words: str) -> list[str]:
    """The lines of its output up to the one with these words."""
    lines: list[str] = []
    while not lines or (words not in lines[-1] and lines[-1]):
        lines.append(process.stdout.readline())
    return lines


@pytest.mark.parametrize(
    "variable", [pytest.param("TEST_REPLACE", marks=pytest.mark.long), "TEST_INIT_FAILS"]
)
def test_a_rank_that_cannot_survive_in_its_process_is_replaced_with_its_state(
    runs, two_ranks, monkeypatch, variable: str
):
    """Where that is off, and where Horovod does not start again."""
    monkeypatch.setenv(variable, "1")
    config = runs.config("replaced", **EXACT | {"run": {"checkpoint": {"every": "1000 steps"}}})
    folder = config.parent
    process = runs.start(config, 2)
    wait_for_steps(runs, folder, 30, process)
    os.kill(int((folder / "pid-0").read_text()), signal.SIGKILL)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert runs.digests(folder, 1) == runs.digests(two_ranks)
    assert generations(folder, 1) == [1, 1]


def test_two_kills_in_an_exact_run_end_with_the_bits_of_one_rank(runs, monkeypatch):
    """Each survivor trains on in its process, alone until the other one is replaced."""
    train = {"epochs": 3, "batch_size": 60, "lanes": 4, "micro_batch": 1, "exact": True}
    sections = GROUPED | {"train": train | {"optimizer": {"name": "adam"}}}
    alone = runs.finish(runs.config("alone", **sections), 1)
    monkeypatch.setenv("TEST_PAUSES", "15 30 45")
    config = runs.config("killed", **sections)
    folder = config.parent
    process = runs.start(config, 2)
    log: list[str] = []
    reader = threading.Thread(target=lambda: log.extend(iter(process.stdout.readline, "")), daemon=True)
    reader.start()

    def kill(rank: int, step: int) -> None:
        wait_for(lambda: done(runs, folder) >= step, f"step {step}; {log}")
        os.kill(int((folder / f"pid-{rank}").read_text()), signal.SIGKILL)
        (folder / f"go-{step}").touch()

    kill(1, 15)
    wait_for(lambda: any("1 replaced rank can join" in line for line in log), f"it is ready; {log}")
    (folder / "go-30").touch()
    wait_for(lambda: len((folder / "processes-1").read_text().split()) == 2, f"it trains; {log}")
    kill(0, 45)
    assert process.wait() == 0, log
    reader.join()
    assert same_weights(runs, folder, alone)
    assert files(folder) == files(alone)
    assert re.search(r"recovered as rank 0 of 1 in .*\n(.*\n)*.*recovered as rank 0 of 2 in", "".join(log))
    steps = runs.digests(folder)
    assert len(set(steps)) == len(steps) >= 59, "no finished step is repeated"
    first, second = (folder / "processes-0").read_text().split()[2:4]
    assert first != second
    assert second == (folder / "processes-1").read_text().split()[1], "the replacement survives as the chief"


def test_a_rank_stays_while_the_other_pod_leaves_returns_dies_and_returns(runs, two_ranks):
    """SIGTERM, then SIGKILL of the supervisor of pod 1: the rank of pod 0 is the same process to the end."""
    config = runs.config("pods", **EXACT)
    folder, gang = config.parent, Run(config.parent)
    environment = {"TRAINER_PODS": "2", "TRAINER_COORDINATOR": f"127.0.0.1:{free_port()}"}
    environment |= {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
    command = [sys.executable, "-m", "tests.training.rank", str(config), str(folder)]

    def start(index: int) -> Pod:
        place = environment | {"TRAINER_POD_INDEX": str(index)}
        return gang.pod(command, "--in-place", environment=place)

    try:
        first, last = start(0), start(1)
        for number, steps in ((signal.SIGTERM, 10), (signal.SIGKILL, 25)):
            wait_for_steps(runs, folder, steps, first.process)
            last.signal(number)
            assert last.wait() == (75 if number is signal.SIGTERM else -9)
            last = start(1)
        assert [pod.process.wait(300) for pod in (first, last)] == [0, 0], gang.output()
    finally:
        gang.close()
    assert runs.digests(folder) == runs.digests(two_ranks)
    assert (generations(folder, 0), generations(folder, 1)) == ([3], [1, 1, 1]), gang.output()


def generations(folder: Path, rank: int) -> list[int]:
    """In how many generations each process of a rank has trained."""
    return list(Counter((folder / f"processes-{rank}").read_text().split()).values())


def test_asked_to_stop_it_saves_the_last_finished_step_and_says_to_start_it_again(runs, two_ranks):
    config = runs.config("stopped", **EXACT)
    folder = config.parent
    process = runs.start(config, 2)
    wait_for_steps(runs, folder, 25, process)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate()
    assert process.returncode == 75, output
    assert max(committed(folder)) == len(runs.digests(folder))

    runs.finish(config, 2)
    assert runs.digests(folder) == runs.digests(two_ranks)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_thirty_kills_of_everything_end_with_the_same_bits(runs, long_undisturbed):
    config = runs.config("thirty-kills", **LONG)
    folder = config.parent
    generator = random.Random(1)
    for number in range(30):
        process = runs.start(config, 2)
        wait_for_a_moment(runs, folder, process, generator, number)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert not (folder / "run" / "finished.json").exists()
    runs.finish(config, 2)
    assert same_weights(runs, folder, long_undisturbed)
    assert files(folder) == files(long_undisturbed)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_twenty_kills_of_one_rank_or_the_other_lose_no_step_that_the_other_has_finished(
    runs, long_undisturbed
):
    """At random moments, with no checkpoint due but those that the chief saves when it lives."""
    config = runs.config("twenty-kills", **LONG | {"run": {"checkpoint": {"every": "100000 steps"}}})
    folder = config.parent
    generator = random.Random(4)
    process = runs.start(config, 2)
    log = (folder / "log").open("w")
    reader = threading.Thread(target=lambda: log.writelines(process.stdout), daemon=True)
    reader.start()
    for number in range(20):
        wait_for_a_moment(runs, folder, process, generator, number)
        os.kill(int((folder / f"pid-{generator.randrange(2)}").read_text()), signal.SIGKILL)
    assert process.wait() == 0, (folder / "log").read_text()
    reader.join()
    step = {digest: number for number, digest in enumerate(runs.digests(long_undisturbed))}
    finished = [[step[digest] for digest in runs.digests(folder, rank)] for rank in range(2)]
    # A rank that dies between a step and its digest leaves that to the other one.
    assert set().union(*finished) == set(step.values())
    assert all(one == sorted(set(one)) for one in finished), "no step is done twice"
    assert same_weights(runs, folder, long_undisturbed)
    assert files(folder) == files(long_undisturbed)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_twenty_kills_in_an_exact_run_end_with_the_bits_of_one_rank(runs):
    """At random moments, also while the last one lost is replaced."""
    train = LONG["train"] | {"micro_batch": 1, "exact": True}
    sections = GROUPED | {"train": train, "run": {"checkpoint": {"every": "100000 steps"}}}
    alone = runs.finish(runs.config("alone", **sections), 1)
    config = runs.config("killed", **sections)
    folder = config.parent
    generator = random.Random(5)
    process = runs.start(config, 2)
    with (folder / "log").open("w") as log:
        reader = threading.Thread(target=lambda: log.writelines(process.stdout), daemon=True)
        reader.start()
        for number in range(20):
            wait_for_a_moment(runs, folder, process, generator, number)
            kill_one(folder, generator)
        assert process.wait() == 0, (folder / "log").read_text()
        reader.join()
    assert same_weights(runs, folder, alone)
    assert files(folder) == files(alone)
    step = {digest: number for number, digest in enumerate(runs.digests(alone))}
    assert {step[digest] for rank in (0, 1) for digest in runs.digests(folder, rank)} == set(step.values())


def kill_one(folder: Path, generator: random.Random) -> None:
    """Kills one of the ranks that live."""
    pids = [int((folder / f"pid-{rank}").read_text()) for rank in range(2)]
    os.kill(generator.choice([pid for pid in pids if alive(pid)]), signal.SIGKILL)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_thirty_stops_lose_no_finished_step(runs, long_undisturbed, say):
    """SIGTERM at any moment after the first step, also while one is saved, an epoch ends or is validated."""
    config = runs.config("thirty-stops", **LONG)
    folder = config.parent
    generator = random.Random(2)
    seconds = []
    for number in range(30):
        process = runs.start(config, 2)
        wait_for_a_moment(runs, folder, process, generator, number)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate()
        seconds.append(time.monotonic() - began)
        assert process.returncode == 75, output
        assert max(committed(folder)) == done(runs, folder)
    say(f"SIGTERM to exit 75, saved: median {median(seconds):.2f} s, at most {max(seconds):.2f} s")
    assert max(seconds) < load(config).run.grace
    runs.finish(config, 2)
    assert runs.digests(folder) == runs.digests(long_undisturbed)
    assert files(folder) == files(long_undisturbed)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_callbacks_remember_over_ten_interruptions(runs):
    """Patience, the best so far, learning rate and history are those of the undisturbed run."""
    train = EXACT["train"] | {
        "epochs": 40,
        "optimizer": {"name": "sgd", "learning_rate": 0.3},
        "early_stopping": {"monitor": "val_accuracy", "patience": 6},
        "reduce_lr_on_plateau": {"monitor": "val_loss", "patience": 1, "factor": 0.5},
    }
    sections = EXACT | {"train": train}
    undisturbed = runs.finish(runs.config("whole", **sections), 2)
    config = runs.config("interrupted", **sections)
    folder = config.parent
    generator = random.Random(3)
    for number in range(10):
        process = runs.start(config, 2)
        wait_for_steps(runs, folder, done(runs, folder) + generator.randrange(5, 15), process)
        os.killpg(process.pid, signal.SIGKILL if number % 2 else signal.SIGTERM)
        process.communicate()
    assert not (folder / "run" / "finished.json").exists()
    runs.finish(config, 2)
    assert same_weights(runs, folder, undisturbed)
    for name in ("metrics.csv", "finished.json"):
        assert (folder / "run" / name).read_bytes() == (undisturbed / "run" / name).read_bytes()
    assert b'"stopped_early": true' in (folder / "run" / "finished.json").read_bytes()
