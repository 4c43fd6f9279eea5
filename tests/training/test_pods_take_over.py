"""Two pods train; the one that coordinates is lost with its node, and the other ends the run alone."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.processes import die_with_parent, free_port
from tests.gang.gangs import wait_for
from tests.run_processes import Runs, committed_steps
from trainer.runs import layout
from trainer.storage import open_store


@pytest.mark.long
def test_the_other_pod_coordinates_writes_under_its_own_token_and_finishes(
    runs: Runs, tmp_path: Path
) -> None:
    config = runs.config(
        "pods",
        train={"epochs": 20},
        run={"checkpoint": {"every": "5 steps"}},
        distribution={"min_ranks": 1, "wait_for_replacement": "1s"},
    )
    gang = {"TRAINER_COORDINATOR": f"127.0.0.1:{free_port()}", "TRAINER_PODS": "2", "TRAINER_JOB_UID": "job"}
    logs = [tmp_path / f"pod-{index}" for index in (0, 1)]
    pods = []
    for index, log in enumerate(logs):
        with log.open("w") as output:
            pods.append(
                subprocess.Popen(
                    [sys.executable, "-m", "trainer", "supervise", "--config", str(config), "--ranks", "1"],
                    stderr=output,
                    preexec_fn=die_with_parent,
                    env={**os.environ, **gang, "TRAINER_POD_INDEX": str(index)},
                )
            )
    store = open_store(f"file://{config.parent}/run")
    wait_for(lambda: committed_steps(store), "a checkpoint is there")
    first = json.loads(store.get(layout.token(1)))
    assert first["coordinator"]["pod"] == 0
    pods[0].send_signal(signal.SIGKILL)
    assert pods[1].wait() == 0, logs[1].read_text()
    pods[0].wait()
    last = json.loads(store.get(layout.token(2)))
    assert last["coordinator"]["pod"] == 1
    tokens = [info.key for info in store.list(layout.TOKENS)]
    assert tokens == [layout.token(1), layout.token(2)], "chiefs took none of their own"
    parsed = [layout.parse_checkpoint_key(info.key) for info in store.list(layout.CHECKPOINTS)]
    assert {found[1].generation for found in parsed if found} <= {1, 2}
    assert any(info.key == layout.FINISHED for info in store.list(layout.FINISHED))
