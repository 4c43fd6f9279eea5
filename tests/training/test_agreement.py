"""Pods and ranks with different configurations do not train together; what a pod refuses is refused as one
process refuses it."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.processes import die_with_parent, free_port
from tests.commands import refused, trainer
from tests.gang.gangs import wait_for
from tests.run_processes import Runs
from tests.test_invalid import damaged_copy
from trainer.config import load
from trainer.distribution.agreement import Agreement
from trainer.errors import EXIT_INTERRUPTED, EXIT_INVALID
from trainer.training.run_plan import make_plan
from trainer.training.setup.agreement_document import agreement_document

DIFFERENT = {
    "train.epochs=11": "train.epochs is 11",
    "train.validation_freq=2": "train.validation_freq is 2",
    "train.early_stopping.patience=3": "train.early_stopping is {",
    "train.precision=mixed_bfloat16": "train.precision is 'mixed_bfloat16'",
    "train.xla=on": "train.xla is ",
    "train.micro_batch=2": "train.micro_batch is 2",
    "train.optimizer.learning_rate=0.5": "train.optimizer.learning_rate is 0.5",
    "distribution.exchange=float16": "distribution.exchange is 'float16'",
    "run.checkpoint.keep_last=5": "run.checkpoint.keep_last is 5",
    "run.monitor=val_loss": "run.monitor is 'val_loss'",
    "run.url=/other": "run.url is '/other'",
    "model.options.n_filters=5": "model.options.n_filters is 5",
}
FOR_ITSELF = ["metrics.port=9091", "metrics.linger=3s", "data.cache.path=/cache", "run.grace=5s"]


def agreement(digits: str, where: str, *sets: str, **callbacks: Any) -> Agreement:
    config = load(recipe="digits", overrides=[f"data.url={digits}", "run.url=/run", *sets])
    return Agreement(agreement_document(make_plan(config, 1), config.run.url, **callbacks), where)


@pytest.mark.parametrize("value", DIFFERENT)
def test_what_has_to_be_alike_is_named_with_both_values(digits: str, value: str) -> None:
    known = agreement(digits, "pod 0")
    refusal = agreement(digits, "pod 1", value).refusal(known)
    assert refusal
    assert f"pod 1 was started with a different configuration than pod 0: {DIFFERENT[value]}" in str(refusal)
    assert known.refusal(agreement(digits, "pod 1")) is None


def test_gradients_of_another_shape_are_refused(runs: Runs) -> None:
    """As of a network of one's own whose code or environment is another one on some pods."""
    config = runs.config("shapes", model={"name": "tests.models.own:of_each_rank", "options": {}})
    done = trainer("supervise", "--config", str(config), "--ranks", "2")
    assert done.returncode == EXIT_INVALID
    assert re.search(
        r"error: rank 1 \| .*: rank 1 .* was started with a different configuration than rank 0 .*: "
        r"weights.0 is 'kernel \(192, 5\)' in rank 1 .* and 'kernel \(192, 4\)' in rank 0",
        done.stderr,
    ), done.stderr
    assert not (config.parent / "run").exists()


def test_callbacks_have_to_be_alike_and_a_pod_s_own_values_may_differ(digits: str, tmp_path: Path) -> None:
    known = agreement(digits, "rank 0")
    refusal = agreement(digits, "rank 1", callbacks=[object()]).refusal(known)
    assert "callbacks is ['object'] in rank 1 and [] in rank 0" in str(refusal)
    copy = tmp_path / "copy"
    shutil.copytree(digits.removeprefix("file://"), copy)
    assert agreement(f"file://{copy}", "rank 1", *FOR_ITSELF).refusal(known) is None


def test_a_pod_with_another_configuration_is_refused_and_the_other_waits_for_the_right_one(
    runs: Runs, tmp_path: Path
) -> None:
    config, port = runs.config("pods"), free_port()
    gang = {"TRAINER_COORDINATOR": f"127.0.0.1:{port}", "TRAINER_PODS": "2"}
    words = ["supervise", "--config", str(config), "--ranks", "1", "--set"]
    log = tmp_path / "pod-0"
    with log.open("w") as output:
        first = subprocess.Popen(
            [sys.executable, "-m", "trainer", *words, "train.optimizer.learning_rate=0.05"],
            stderr=output,
            preexec_fn=die_with_parent,
            env={**os.environ, **gang, "TRAINER_POD_INDEX": "0"},
        )
    other = gang | {"TRAINER_POD_INDEX": "1"}
    line = refused(*words, "train.optimizer.learning_rate=0.5", **other)  # type: ignore[arg-type]
    assert "train.optimizer.learning_rate is 0.5 in pod 1 and 0.05 in pod 0" in line
    wait_for(
        lambda: "waiting for pod 1, which was started with a different configuration" in log.read_text(),
        "pod 0 says for whom it waits",
    )
    first.send_signal(signal.SIGTERM)
    assert first.wait() == EXIT_INTERRUPTED
    assert not (config.parent / "run").exists()


@pytest.mark.parametrize("value", ["model.weights=/nowhere", "data.url=DAMAGED"])
def test_what_two_supervised_ranks_refuse_is_one_line_and_leaves_no_folder(
    value: str, runs: Runs, digits: str, tmp_path: Path
) -> None:
    """In the ranks, before and after the folder is claimed."""
    damaged_copy(digits, tmp_path / "damaged")
    config = runs.config("refused")
    words = ["--ranks", "2", "--set", value.replace("DAMAGED", str(tmp_path / "damaged"))]
    line = refused("supervise", "--config", str(config), *words, code=EXIT_INVALID)
    assert "there is no /nowhere" in line or "its checksum differs" in line
    assert not (config.parent / "run").exists()


def test_a_folder_of_unknown_checkpoints_is_refused_before_ranks_start(runs: Runs) -> None:
    config = runs.config("lost")
    commit = config.parent / "run/checkpoints/0000000004/00000001-uid/commit.json"
    commit.parent.mkdir(parents=True)
    commit.write_text("{}")
    line = refused("supervise", "--config", str(config), "--ranks", "2")
    assert "no run.json to identify the run. Restore run.json from a backup" in line
    assert [path for path in (config.parent / "run").rglob("*") if path.is_file()] == [commit]
