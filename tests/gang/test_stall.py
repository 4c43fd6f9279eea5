"""Which ranks are taken for late and when they are killed, and that the run goes on of itself."""

import re
import sys
from typing import Any

import pytest

from tests.gang.gangs import Run, wait_for
from tests.gang.test_supervisor import read
from trainer.distribution.rank_status import Phase, RankStatus
from trainer.gang.ranks.stall import Stall, StallWatch, late_ranks

NONE: frozenset[int] = frozenset()


def at(reports: int, phase: Phase = Phase.TRAINING, step: int = 5) -> RankStatus:
    return RankStatus(step, 0.0, phase, reports)


@pytest.mark.parametrize(
    ("ranks", "suspended", "late"),
    [
        ({0: at(9), 1: at(8, Phase.READING), 2: at(9)}, NONE, (1,)),
        ({0: at(8, Phase.READING), 1: at(9)}, NONE, (0,)),
        ({0: at(9), 1: at(9), 2: at(9)}, frozenset({0}), (0,)),
        ({0: at(9), 1: at(9), 2: at(9)}, NONE, (1, 2)),
        ({2: at(9), 3: at(9)}, NONE, (2, 3)),
        ({0: at(9)}, NONE, (0,)),
        ({0: at(8, Phase.SAVING), 1: at(9)}, NONE, ()),
        ({0: at(8, Phase.SAVING), 1: at(9)}, frozenset({1}), (1,)),
    ],
    ids=[
        "one that has not reached the exchange",
        "also the chief",
        "one that is suspended",
        "else all but the chief, who can save",
        "in a pod without the chief all",
        "or the chief alone",
        "nobody while the chief saves",
        "but one that is suspended",
    ],
)
def test_who_holds_the_others_up(ranks: dict[int, RankStatus], suspended: frozenset[int], late: Any) -> None:
    assert late_ranks(ranks, suspended) == late


def test_it_is_said_at_the_limit_and_they_are_killed_a_little_later() -> None:
    watch = StallWatch(10, 0)
    here = {0: at(2), 1: at(1, Phase.READING)}
    assert watch.look(here, NONE, 1) is None
    assert watch.look(here, NONE, 10.9) is None
    assert watch.look(here, NONE, 11) == Stall(10, 10, (1,), kill=False)
    assert watch.look(here, NONE, 13) == Stall(12, 10, (1,), kill=True)
    assert watch.look({0: at(2), 1: at(2)}, NONE, 14) is None, "it went on"


def test_the_chief_alone_is_killed_later_since_a_rank_of_another_pod_may_be_the_late_one() -> None:
    watch = StallWatch(10, 0)
    kills = [bool((stall := watch.look({0: at(1)}, NONE, now)) and stall.kill) for now in (0, 12, 19, 20)]
    assert kills == [False, False, False, True]


def test_before_the_first_step_and_where_steps_are_long_there_is_more_time() -> None:
    watch = StallWatch(10, 0)
    assert watch.look({0: at(1, Phase.STARTING, step=-1)}, NONE, 29) is None
    assert watch.look({0: at(2, step=-1)}, NONE, 58) is None, "compiling"
    assert watch.look({0: at(3)}, NONE, 60) is None
    assert watch.look({0: at(4)}, NONE, 69) is None, "a step of 9 s"
    assert watch.look({0: at(4)}, NONE, 95) is None
    assert watch.look({0: at(4)}, NONE, 97) is not None


def test_after_sigterm_a_third_of_the_grace_without_progress_is_enough() -> None:
    watch = StallWatch(300, 0)
    here = {0: at(9), 1: at(8, Phase.READING)}
    assert watch.look(here, NONE, 50) is None
    assert watch.look(here, NONE, 100, grace=60) is None
    assert watch.look(here, NONE, 120, grace=60) == Stall(20, 20, (1,), kill=True)


STUCK = """
import faulthandler, os, sys, time
from trainer.distribution.environment import STACKS
from trainer.distribution.rank_status import Phase, report

def stuck_in_this_function():
    time.sleep(999)

faulthandler.register(STACKS)
rank = int(os.environ["HOROVOD_RANK"])
report(Phase.TRAINING, 0)
if os.environ["TRAINER_GENERATION"] == "1":
    report(Phase.READING)
    if rank == 1:
        stuck_in_this_function()
    report(Phase.TRAINING)
    time.sleep(999)
"""


def test_a_rank_that_hangs_is_said_shown_and_killed_and_the_run_goes_on(run: Run) -> None:
    words = ("--ranks", "2", "--stall-timeout", "1.5", "--grace", "1", "--metrics-port", "0")
    pod = run.pod([sys.executable, "-c", STUCK], *words)
    port = wait_for(lambda: re.search(r"metrics at port (\d+)", pod.output()), "the port")[1]
    wait_for(lambda: "no progress for" in pod.output(), "it is said")
    assert not re.search(r"trainer_ranks_stalled_seconds 0\.0", read(f"http://127.0.0.1:{port}/metrics"))
    assert pod.wait() == 0, pod.output()
    said = pod.output()
    assert re.search(r"no progress for 2 s: rank 1 is reading data, after step 0\n", said)
    assert 'rank 1 |   File "<string>", line 7 in stuck_in_this_function' in said
    assert re.search(r"rank 1 was killed by SIGKILL; restarting all 2 ranks", said)
