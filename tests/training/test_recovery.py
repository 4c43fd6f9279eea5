"""Whoever dies, whenever: the run goes on at its last checkpoint and ends with the undisturbed run's bits."""

import os
import random
import signal
import threading
import time
from pathlib import Path
from statistics import median

import pytest

from tests.run_processes import EXACT, Runs, committed_steps
from trainer.config import load
from trainer.storage import open_store

pytestmark = pytest.mark.slow

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
    config = runs.config("rank-lost", **EXACT)
    folder = config.parent
    process = runs.start(config, 2)
    wait_for_steps(runs, folder, 30, process)
    os.kill(int((folder / "pid-1").read_text()), number)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert ("rank 1 was killed by SIGKILL" if number is signal.SIGKILL else "lost rank 1, which") in output
    assert same_weights(runs, folder, two_ranks)
    assert runs.digests(folder) == runs.digests(two_ranks)


def test_a_killed_chief_loses_no_finished_step(runs, two_ranks):
    """The other rank hands its state over in memory: no checkpoint is due in this run."""
    config = runs.config("chief-lost", **EXACT | {"run": {"checkpoint": {"every": "1000 steps"}}})
    folder = config.parent
    process = runs.start(config, 2)
    wait_for_steps(runs, folder, 30, process)
    os.kill(int((folder / "pid-0").read_text()), signal.SIGKILL)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "rank 1 holds the newest state, in memory" in output
    assert runs.digests(folder, 1) == runs.digests(two_ranks)
    assert same_weights(runs, folder, two_ranks)
    assert files(folder)["metrics.csv"] == files(two_ranks)["metrics.csv"]


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
