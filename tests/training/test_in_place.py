"""A rank that survives in its process: what it keeps, what it frees, and what it does not believe."""

import gc
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from tests.run_processes import Runs, committed_steps
from tests.training.in_process import store_of, train
from tests.training.test_lost_rank import TWENTY_STEPS
from trainer.checkpoints.training_state import TrainingState, unpack
from trainer.distribution.handover import handed_over, new_memory
from trainer.distribution.rank_variables import STATE_FD
from trainer.distribution.single import Single
from trainer.errors import TransientError
from trainer.training.data import RankData
from trainer.training.loop import Loop
from trainer.training.saver import Saver
from trainer.training.setup import first_state
from trainer.training.step import TrainStep


class Rejoining(Single):
    """The only rank of each generation. `held`: called when it waits for the next one."""

    can_rejoin = True

    def __init__(self, held: Callable[[], None] = lambda: None) -> None:
        self.held = held

    def hold(self, long_wait: Callable[[], None]) -> bool:
        self.held()
        return True

    def join(self, met: Callable[[], None]) -> bool:
        met()
        return True


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with new_memory() as fd:
        monkeypatch.setenv(STATE_FD, str(fd))
        yield


def breaking(call: Callable[..., Any], steps: set[int]) -> Callable[..., Any]:
    """`call`, in which the exchange of these steps breaks, once each."""

    def calling(self: TrainStep, number: int, *arguments: Any) -> Any:
        if number in steps:
            steps.remove(number)
            raise tf.errors.UnknownError(None, None, "Connection closed by peer")
        return call(self, number, *arguments)

    return calling


def test_it_keeps_steps_and_state_and_nothing_grows_with_each_recovery(
    runs: Runs, memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(undisturbed := runs.config("undisturbed", train=TWENTY_STEPS))
    steps: list[TrainStep] = []
    seen: list[dict[str, int]] = []
    made = TrainStep.__init__

    def making(self: TrainStep, *arguments: Any, **options: Any) -> None:
        steps.append(self)
        made(self, *arguments, **options)

    def look() -> None:
        gc.collect()
        living = gc.get_objects()
        counts = {kind.__name__: 0 for kind in (Loop, RankData, TrainingState, Saver)}
        for one in living:
            if type(one).__name__ in counts:
                counts[type(one).__name__] += 1
        counts |= {"threads": threading.active_count(), "files": len(os.listdir("/proc/self/fd"))}
        seen.append(counts)

    monkeypatch.setattr(TrainStep, "__init__", making)
    monkeypatch.setattr(TrainStep, "__call__", breaking(TrainStep.__call__, set(range(3, 20, 2))))
    train(config := runs.config("broken", train=TWENTY_STEPS), distribution=Rejoining(look))
    assert len(seen) == 9
    assert seen[-1] == seen[1], "as after the second recovery"
    assert seen[-1]["Loop"] == seen[-1]["RankData"] == seen[-1]["TrainingState"] == 0, "while it waits"
    (step,) = steps
    assert step._finish.experimental_get_tracing_count() == 1
    assert all(
        (a == b).all() for a, b in zip(*(runs.weights(c.parent) for c in (undisturbed, config)), strict=True)
    )
    assert handed_over() is None


def test_a_stop_keeps_the_state_in_memory_until_it_is_saved(
    runs: Runs, memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a store that does not answer, and a rank that is killed for it, lose no finished step."""
    held: list[int] = []
    finish, stop = Saver.finish, threading.Event()

    def saving(self: Saver, capture: Callable[[], TrainingState]) -> None:
        kept = handed_over()
        assert kept
        held.append(unpack(kept).step)
        finish(self, capture)

    monkeypatch.setattr(Saver, "finish", saving)
    stop.set()
    config = runs.config("stopped", train=TWENTY_STEPS)
    with pytest.raises(TransientError, match="stopped on request"):
        train(config, stop=stop, distribution=Rejoining())
    assert held == committed_steps(store_of(config))
    assert handed_over() is None


class Others(Single):
    """Rank 0 of several: the others add their rows to what is summed."""

    def __init__(self, *rows: tuple[float, float]) -> None:
        self.rows, self.size = rows, 1 + len(rows)

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if values.size == 1:
            return values
        summed: NDArray[np.float64] = values + np.ravel([(0.0, 0.0), *self.rows])
        return summed


STATE = b"a state"
DIGEST = first_state._digest(STATE)


@pytest.mark.parametrize(
    ("others", "rank", "everywhere"),
    [
        ([(7, DIGEST), (7, DIGEST)], 0, True),
        ([(7, DIGEST), (7, DIGEST + 1)], 0, False),
        ([(7, DIGEST), (0, first_state._digest(b""))], 0, False),
        ([(8, DIGEST + 1), (8, DIGEST + 1)], 1, False),
        ([], 0, True),
    ],
)
def test_a_state_is_sent_unless_all_ranks_hold_the_same_bits(
    others: list[tuple[float, float]], rank: int, everywhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rank that was cut off may hold the same step of another attempt at it."""
    monkeypatch.setattr(first_state, "checkpointed", lambda *_: 3)
    newest = first_state._newest(Others(*others), Mock(), Mock(), 7, STATE)
    assert newest == first_state._Newest(rank, everywhere, unsaved=True)
