"""Ranks that another launcher starts: horovodrun's train as `--ranks` does, others are refused at once."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.commands import trainer
from tests.distribution.launched import launched
from tests.gang.gangs import wait_for
from tests.run_processes import EXACT, ONE_THREAD, Runs, committed_steps
from tests.training.in_process import store_of
from trainer import main
from trainer.distribution.launchers import PLACE
from trainer.distribution.rank_variables import GENERATION
from trainer.errors import EXIT_INTERRUPTED, EXIT_INVALID

SMALL: dict[str, Any] = EXACT | {"run": {"checkpoint": {"every": "4 steps", "keep_last": 10_000}}}
LAST = 40
"""Of 60 steps."""
FULL = {name: "0" if name.endswith("RANK") else "2" for name in PLACE} | {
    "HOROVOD_GLOO_RENDEZVOUS_ADDR": "127.0.0.1",
    "HOROVOD_GLOO_RENDEZVOUS_PORT": "1",
}
COMMANDS = {
    "train": ["train", "--recipe", "digits"],
    "check": ["train", "--recipe", "digits", "--check"],
    "ranks": ["train", "--recipe", "digits", "--ranks", "2"],
    "supervise": ["supervise", "--recipe", "digits", "--ranks", "2"],
}


def refused(command: str, variables: dict[str, str], folder: Path, monkeypatch: Any, capsys: Any) -> str:
    """The one line of a command that ends in this process, before anything is looked at."""
    for name in (*PLACE, GENERATION):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    sets = ["--set", f"data.url={folder}/no-dataset", "--set", f"run.url={folder}/run"]
    assert main.run([*COMMANDS[command], *sets]) == EXIT_INVALID
    assert not (folder / "run").exists()
    [line] = capsys.readouterr().err.splitlines()
    return str(line)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"HOROVOD_RANK": "0"}, "received HOROVOD_RANK=0 without HOROVOD_SIZE, HOROVOD_LOCAL_RANK"),
        ({"HOROVOD_SIZE": "2"}, "without HOROVOD_RANK"),
        ({**FULL, "HOROVOD_GLOO_RENDEZVOUS_ADDR": ""}, "without HOROVOD_GLOO_RENDEZVOUS_ADDR."),
        ({**FULL, "HOROVOD_RANK": "2"}, "expected HOROVOD_RANK below HOROVOD_SIZE, received '2' and '2'"),
        ({**FULL, "HOROVOD_SIZE": "two"}, "received '0' and 'two'"),
        ({**FULL, "HOROVOD_GLOO_RENDEZVOUS_PORT": "http"}, "expected a number, received 'http'"),
        ({**FULL, "HOROVOD_ELASTIC": "1"}, "Remove --min-np"),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, "one of 2 MPI processes"),
        ({"PMI_RANK": "0", "PMI_SIZE": "4"}, "`trainer train --ranks N`"),
    ],
    ids=lambda value: "-".join(value)[:40] if isinstance(value, dict) else None,
)
def test_a_place_that_is_not_whole_is_refused_at_once(
    command: str, variables: dict[str, str], said: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    assert said in refused(command, variables, tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("command", "option"), [("ranks", "--ranks"), ("supervise", "--ranks"), ("check", "--check")]
)
def test_ranks_that_start_ranks_are_refused(
    command: str, option: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    line = refused(command, FULL, tmp_path, monkeypatch, capsys)
    assert f"{option}: expected no other launcher of ranks, received HOROVOD_RANK=0" in line


def test_ranks_of_horovodrun_train_the_same_weights_also_after_one_is_lost(
    runs: Runs, two_ranks: Path
) -> None:
    config = runs.config("launched", **SMALL)
    endless = ["train.epochs=10000"]
    with launched(config, endless, endless, **ONE_THREAD) as ranks:
        wait_for(lambda: committed_steps(store_of(config)), "a checkpoint")
        ranks[1].kill()
        said, _ = ranks[0].communicate(timeout=60)
        assert ranks[0].returncode == EXIT_INTERRUPTED, said
    assert "error: another rank was lost" in said
    assert "Restart to resume from the last checkpoint" in said
    for attempt in (config.parent / "run/checkpoints").iterdir():
        if int(attempt.name) > LAST:
            shutil.rmtree(attempt)

    with launched(config, [], [], **ONE_THREAD) as ranks:
        logs = [rank.communicate(timeout=60)[0] for rank in ranks]
        assert [rank.returncode for rank in ranks] == [0, 0], logs
    assert "next: trainer report" in logs[0], "the chief says how it went"
    assert not logs[1], "and it alone"
    for one, other in zip(runs.weights(two_ranks), runs.weights(config.parent), strict=True):
        assert (one == other).all()


def test_a_rank_with_another_configuration_is_refused_by_name_and_nothing_is_left(runs: Runs) -> None:
    config = runs.config("mixed")
    rates = [[f"train.optimizer.learning_rate={rate}"] for rate in (0.05, 0.5)]
    with launched(config, *rates) as ranks:
        logs = [rank.communicate(timeout=60)[0] for rank in ranks]
        assert [rank.returncode for rank in ranks] == [EXIT_INTERRUPTED, EXIT_INVALID], logs
    assert "rank 1 was started with a different configuration" in logs[0]
    [line] = logs[1].splitlines()
    assert "train.optimizer.learning_rate is 0.5 in rank 1 (pod " in line
    assert "and 0.05 in rank 0 (pod " in line
    assert not (config.parent / "run").exists()


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_horovodrun_itself_ends_with_its_ranks_and_resumes(runs: Runs, number: signal.Signals) -> None:
    """SIGTERM to horovodrun, SIGKILL to a rank."""
    import psutil

    expected = runs.config("ranks", **SMALL)
    assert trainer("train", "--config", str(expected), "--ranks", "2").returncode == 0
    config = runs.config("horovodrun", **SMALL)
    command = [str(Path(sys.executable).with_name("horovodrun")), "-np", "2", sys.executable, "-m", "trainer"]
    command += ["train", "--config", str(config)]
    slow = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    process = subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=slow, start_new_session=True
    )
    wait_for(lambda: committed_steps(store_of(config)) or process.poll() is not None, "a checkpoint")
    if number is signal.SIGTERM:
        process.send_signal(number)
    else:
        for child in psutil.Process(process.pid).children(recursive=True):
            if "trainer" in child.cmdline() and child.environ().get("HOROVOD_RANK") == "1":
                child.kill()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1, said
    done = subprocess.run(command, text=True, capture_output=True, env=slow)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("resuming at step") == 1
    for one, other in zip(runs.weights(expected.parent), runs.weights(config.parent), strict=True):
        assert (one == other).all()
