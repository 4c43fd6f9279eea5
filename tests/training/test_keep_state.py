"""The state of ranks whose exchange broke is saved when their supervisor leaves, if no checkpoint has it."""

import logging
from typing import Any

import pytest

from tests.commands import trainer
from tests.run_processes import Runs, committed_steps
from tests.training.in_process import store_of, train
from tests.training.test_lost_rank import GONE, TWENTY_STEPS, after
from trainer.config import load
from trainer.distribution.handover import new_memory
from trainer.distribution.rank_variables import STATE_FD
from trainer.errors import RankLost
from trainer.runs import layout
from trainer.runs.fence import Fence
from trainer.training.setup.keep_state import keep_state
from trainer.training.step import TrainStep


def test_a_state_that_no_checkpoint_has_is_saved_once_and_training_resumes_there(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = runs.config("kept", train=TWENTY_STEPS)
    caplog.set_level(logging.INFO)
    with new_memory() as fd, monkeypatch.context() as patched:
        patched.setenv(STATE_FD, str(fd))
        assert not keep_state(load(config)), "there is none"
        patched.setattr(TrainStep, "__call__", after(7, TrainStep.__call__, GONE))
        with pytest.raises(RankLost):
            train(config)
        store = store_of(config)
        assert not keep_state(load(config)), "the chief has saved it"
        lost = [info.key for info in store.list(layout.CHECKPOINTS)]
        for key in lost:
            store.delete(key)
        check, calls = Fence.check, iter(range(100))

        def superseded_once(fence: Fence) -> None:
            """As by another pod that saves an older state."""
            if next(calls) == 0:
                Fence.take(store, {"gang": fence.gang})
            check(fence)

        patched.setattr(Fence, "check", superseded_once)
        assert keep_state(load(config))
        assert committed_steps(store) == [7]
        assert "saved step 7, which no checkpoint had" in caplog.text
        assert not keep_state(load(config))
    train(config)
    assert "resuming at step 7" in caplog.text


def test_the_command_of_a_rank_saves_its_state_and_trains_nothing(runs: Runs) -> None:
    config = runs.config("nothing")
    variables: dict[str, Any] = dict.fromkeys(("RANK", "LOCAL_RANK", "CROSS_RANK"), "0") | dict.fromkeys(
        ("SIZE", "LOCAL_SIZE", "CROSS_SIZE"), "1"
    )
    environment = {f"HOROVOD_{name}": value for name, value in variables.items()}
    done = trainer(
        "train", "--config", str(config), TRAINER_KEEP_STATE="1", TRAINER_GENERATION="2", **environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not (config.parent / "run").exists()
