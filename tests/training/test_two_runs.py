"""Two runs that live and have one folder: the one that came later goes on, the other stops for good."""

import re
import signal
import socket
import time
from typing import Any

import keras
import pytest

from tests.gang.gangs import wait_for
from tests.run_processes import Runs, committed_steps
from tests.training.in_process import store_of, train
from trainer.errors import EXIT_INTERRUPTED, EXIT_INVALID
from trainer.runs import layout
from trainer.runs.fence import Fence, Superseded

OFTEN: dict[str, Any] = {"train": {"epochs": 10_000}, "run": {"checkpoint": {"every": "4 steps"}}}


def test_a_run_whose_folder_another_takes_stops_for_good_at_its_next_checkpoint(runs: Runs) -> None:
    config = runs.config("run", **OFTEN)
    store = store_of(config)

    class TakeAt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 5:
                wait_for(lambda: committed_steps(store), "a checkpoint")
                Fence.take(store, {"gang": "another", "host": "cars-b-0"})

    with pytest.raises(Superseded, match=r"taken at 20\S+ on host cars-b-0") as failure:
        train(config, TakeAt())
    assert failure.value.exit_code == EXIT_INVALID
    assert committed_steps(store) == [4]


@pytest.mark.long
def test_of_two_supervised_runs_one_goes_on_and_the_other_says_who_has_the_folder(runs: Runs) -> None:
    config = runs.config("run", **OFTEN)
    older = runs.start(config)
    while older.poll() is None and not (config.parent / "digests-0").exists():
        time.sleep(0.02)
    newer = runs.start(config)
    said, _ = older.communicate(timeout=60)
    assert older.returncode == EXIT_INVALID, said
    host = re.escape(socket.gethostname())
    assert re.search(rf"token 1 was superseded by token 2, taken at 20\S+ on host {host}", said)
    assert newer.poll() is None
    newer.send_signal(signal.SIGTERM)
    said, _ = newer.communicate(timeout=60)
    assert newer.returncode == EXIT_INTERRUPTED, said
    tokens = store_of(config).list(layout.TOKENS)
    assert len(list(tokens)) == 2
