"""Which ranks survive in their processes, which place each of them gets, and how many train meanwhile."""

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.gang.gangs import wait_for
from trainer.distribution.handover import new_memory
from trainer.distribution.rank_status import Phase, RankStatus, StatusChannel
from trainer.distribution.rank_variables import LOCAL_RANK, RANK, SIZE
from trainer.errors import EXIT_INTERRUPTED, EXIT_INVALID, EXIT_LOST
from trainer.gang.forming.policy import WAIT_FOR_ALL, Policy
from trainer.gang.generation_end import GangStop, moves_in_place
from trainer.gang.members import StopMode
from trainer.gang.pods import Pods
from trainer.gang.ranks.rank_process import Exit
from trainer.gang.ranks.rank_processes import Ranks
from trainer.gang.supervisor_options import SupervisorOptions

EXACT = Policy(wait=0.0)

MOVING = """
import os, signal, sys, time
from pathlib import Path
from trainer.distribution.handover import hand_over, handed_over
from trainer.distribution.places import places
from trainer.distribution.rank_status import Phase, report_phase, report_step

folder = Path(sys.argv[1])
report_phase(Phase.PARKED if "TRAINER_PARKED" in os.environ else Phase.TRAINING)
while True:
    if "TRAINER_PARKED" not in os.environ:
        report_step(7)
        place = f"{os.environ['HOROVOD_RANK']}-of-{os.environ['HOROVOD_SIZE']}"
        (folder / place).write_text(f"{os.getpid()} {(handed_over() or b'nothing').decode()}")
        while not places().lost():
            time.sleep(0.01)
        hand_over(f"state of {os.getpid()}".encode())
        report_phase(Phase.HOLDING)
    places().wait(lambda: False, 1000, lambda: None)
    os.environ.pop("TRAINER_PARKED", None)
"""


def environment(rank: int, size: int, local: int) -> dict[str, str]:
    return {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        RANK: str(rank),
        SIZE: str(size),
        LOCAL_RANK: str(local),
    }


class Moving:
    """A pod's ranks that write where they are."""

    def __init__(self, folder: Path, states: list[int]) -> None:
        self.folder = folder
        command = [sys.executable, "-c", MOVING, str(folder)]
        places = {rank: environment(rank, 2, rank) for rank in range(2)}
        self.ranks = Ranks(command, places, states=states, in_place=True)

    def at(self, place: str) -> tuple[int, str]:
        """The process in a place, such as `0-of-2`, and the state that it found."""
        path = self.folder / place
        wait_for(lambda: path.exists() and path.read_text(), f"a rank is at {place}")
        pid, state = path.read_text().split(" ", 1)
        path.unlink()
        return int(pid), state

    def lose(self, rank: int) -> None:
        self.ranks._all[rank].kill()
        wait_for(lambda: rank not in self.watched().pids, f"rank {rank} has ended")
        self.ranks.break_up(asked=False)
        wait_for(lambda: self.ranks.are_movable, "the others keep their state")

    def watched(self) -> Ranks:
        self.ranks.watch()
        return self.ranks


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[Moving]:
    with new_memory() as one, new_memory() as other:
        moving = Moving(tmp_path, [one, other])
        yield moving
        moving.ranks.close()


def test_a_survivor_moves_a_parked_process_replaces_and_each_has_memory_of_its_own(moving: Moving) -> None:
    ranks = moving.ranks
    first, second = moving.at("0-of-2")[0], moving.at("1-of-2")[0]
    ranks.park(1, environment(0, 2, 0))
    wait_for(lambda: ranks.parked == 1, "a process is parked")
    assert ranks.ready == 3
    moving.lose(0)
    assert (ranks.ready, ranks.held()) == (2, [7])

    ranks.regroup({0: environment(0, 1, 0)})
    assert moving.at("0-of-1") == (second, f"state of {second}"), "the survivor is the only rank"
    assert ranks.parked == 1, "nobody else was lost"
    ranks.break_up(asked=True)
    wait_for(lambda: ranks.are_movable, "it keeps its state")
    ranks.regroup({rank: environment(rank, 2, rank) for rank in range(2)})
    assert moving.at("0-of-2") == (second, f"state of {second}")
    replaced, state = moving.at("1-of-2")
    assert replaced not in (first, second)
    assert state == "nothing", "the memory of the lost rank"

    moving.lose(1)
    ranks.regroup({rank: environment(rank, 2, rank) for rank in range(2)})
    assert moving.at("0-of-2")[0] == second
    assert moving.at("1-of-2")[0] not in (first, second, replaced), "without a parked process, a new one"


def test_a_parked_process_that_ends_is_named_and_not_started_again_at_once(
    moving: Moving, caplog: pytest.LogCaptureFixture
) -> None:
    ranks = moving.ranks
    ranks.park(1, environment(0, 2, 0))
    next(iter(ranks._spares)).kill()
    wait_for(lambda: not list(moving.watched()._spares), "it has ended")
    assert "was killed by SIGKILL; another one follows" in caplog.text
    ranks.park(1, environment(0, 2, 0))
    assert not list(ranks._spares)
    ranks._spares._ended -= time.monotonic()
    ranks.park(1, environment(0, 2, 0))
    assert len(list(ranks._spares)) == 1


@pytest.mark.parametrize(
    ("phase", "movable"),
    [(phase, phase in (Phase.STARTING, Phase.PARKED, Phase.LOADING, Phase.HOLDING)) for phase in Phase],
)
def test_who_can_be_given_another_place(
    moving: Moving, monkeypatch: pytest.MonkeyPatch, phase: Phase, movable: bool
) -> None:
    """Who has left its generation, or has not met the others yet."""
    status = RankStatus(7, time.monotonic(), phase)
    monkeypatch.setattr(StatusChannel, "read", lambda _: status)
    assert moving.ranks.are_movable == movable


@pytest.mark.parametrize(
    ("policy", "pods", "ready", "starts"),
    [
        (EXACT, 1, 3, 3),
        (EXACT, 1, 0, 4),
        (EXACT, 1, 5, 4),
        (replace(EXACT, min_ranks=4), 1, 3, 4),
        (replace(EXACT, min_ranks=4), 2, 3, 3),
        (Policy(), 1, 3, 4),
        (WAIT_FOR_ALL, 1, 3, 4),
    ],
)
def test_how_many_ranks_a_pod_starts(policy: Policy, pods: int, ready: int, starts: int) -> None:
    gang = Pods(index=0, count=pods, coordinator="pod-0") if pods > 1 else None
    assert SupervisorOptions(ranks=4, policy=policy, pods=gang).ranks_to_start(ready) == starts


@pytest.mark.parametrize(
    ("mode", "codes", "holds", "code", "moves"),
    [
        (None, [], False, None, False),
        (None, [-9], False, None, True),
        (None, [], True, None, True),
        (None, [EXIT_LOST], False, None, True),
        (StopMode.GRACEFUL, [], False, None, True),
        (StopMode.IMMEDIATE, [], False, None, True),
        (None, [-9, EXIT_INVALID], False, None, False),
        (None, [EXIT_INTERRUPTED], True, None, False),
        (StopMode.GRACEFUL, [], False, EXIT_INTERRUPTED, False),
        (None, [0, -9], True, None, False),
    ],
)
def test_when_ranks_wait_for_the_next_generation_in_their_processes(
    mode: StopMode | None, codes: list[int], holds: bool, code: int | None, moves: bool
) -> None:
    stop, ranks = GangStop(mode=mode, exit_code=code), Mock(hold=holds)
    ranks.exits = [Exit(rank, code, asked=False) for rank, code in enumerate(codes)]
    signals = Mock(received=None)
    assert moves_in_place(stop, signals, ranks) is moves
    signals.received = 15
    assert not moves_in_place(stop, signals, ranks), "this pod leaves"
