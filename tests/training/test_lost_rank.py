"""A rank whose exchange broke leaves no finished step behind, and commits none that may not be whole."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import tensorflow as tf

from tests.run_processes import Runs, committed_steps
from tests.training.in_process import store_of, train
from trainer.distribution.handover import hand_over, handed_over, new_memory
from trainer.distribution.lost_rank import lost_peer
from trainer.distribution.rank_variables import STATE_FD
from trainer.distribution.single import Single
from trainer.errors import RankLost
from trainer.training.step import TrainStep

GONE = tf.errors.UnknownError(None, None, "Connection closed by peer")
TWENTY_STEPS = {"epochs": 2, "batch_size": 60, "lanes": 60, "micro_batch": 60}


def after(calls: int, call: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    """`call`, which raises `error` for good once it was called so often."""
    counted = Mock(side_effect=call)

    def counting(*arguments: Any) -> Any:
        if counted.call_count >= calls:
            raise error
        return counted(*arguments)

    return counting


def committed(config: Path) -> list[int]:
    with pytest.raises(RankLost, match="another rank was lost"):
        train(config)
    return committed_steps(store_of(config))


def test_an_exchange_that_breaks_in_a_step(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainStep, "__call__", after(7, TrainStep.__call__, GONE))
    assert committed(runs.config("step", train=TWENTY_STEPS)) == [7]


def test_an_exchange_that_breaks_in_validation(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Single, "sum", after(0, Single.sum, lost_peer(GONE)))
    assert committed(runs.config("validation", train=TWENTY_STEPS)) == [20]


def test_a_result_that_cannot_be_read_is_not_known_to_be_whole(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a GPU tells of a broken exchange: the step's call has returned by then."""
    monkeypatch.setattr(TrainStep, "read", staticmethod(after(7, TrainStep.read, GONE)))
    every_five = {"checkpoint": {"every": "5 steps"}}
    assert committed(runs.config("read", train=TWENTY_STEPS, run=every_five)) == [5]


def test_the_next_process_resumes_from_the_newest_state(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What a rank has left in memory counts, unless a checkpoint is newer."""
    config = runs.config("handed-over", train=TWENTY_STEPS)
    caplog.set_level(logging.INFO)
    step = TrainStep.__call__
    with new_memory() as fd:
        monkeypatch.setenv(STATE_FD, str(fd))
        monkeypatch.setattr(TrainStep, "__call__", after(7, step, GONE))
        assert committed(config) == [7]
        old = handed_over()
        assert old
        monkeypatch.setattr(TrainStep, "__call__", after(5, step, GONE))
        assert committed(config) == [12, 7]
        assert "rank 0 holds the newest state, in memory" in caplog.text
        assert "resuming at step 7 (epoch 1)" in caplog.text

        hand_over(old)
        monkeypatch.setattr(TrainStep, "__call__", step)
        caplog.clear()
        train(config)
        assert "in memory" not in caplog.text
        assert "resuming at step 12 (epoch 1)" in caplog.text
        assert handed_over() is None


GRAPH = """Graph execution error:

Detected at node exchange defined at (most recent call last):
  File "/app/train.py", line 1, in <module>

Horovod has been shut down. This was caused by an exception on one of the ranks or an attempt to allreduce.
\t [[{{node exchange}}]]"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GRAPH, "Horovod has been shut down"),
        ("Connection closed by peer", "Connection closed by peer"),
        ("word " * 60, f"{' '.join(['word'] * 24)}…{' '.join(['word'] * 8)}"),
        ("x" * 300, f"{'x' * 120}…{'x' * 40}"),
    ],
)
def test_a_lost_rank_is_reported_in_whole_words(text: str, reason: str) -> None:
    lost = lost_peer(tf.errors.UnknownError(None, None, text))
    assert lost.problem == f"another rank was lost ({reason})"
