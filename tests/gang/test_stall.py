"""Who is late, and since when it is too long: tables."""

from dataclasses import replace

import pytest

from trainer.distribution.rank_status import Phase, RankStatus
from trainer.gang.ranks.stall import Limits, RankHistory, RankProgress, find

pytestmark = pytest.mark.fast

WAITS = RankProgress(0, 17, Phase.TRAINING, idle=1000, longest=2)
"""The chief, in the exchange of the step after 17."""
LIMITS = Limits(timeout=300, stopping=20)


def other(**changes: object) -> RankProgress:
    return replace(WAITS, rank=1, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ranks", "late"),
    [
        ([WAITS, other(phase=Phase.READING)], (1,)),
        ([replace(WAITS, phase=Phase.READING), other()], (0,)),
        ([WAITS, other(step=16)], (1,)),
        ([WAITS, other(phase=Phase.CALLBACKS)], (1,)),
        ([other(phase=Phase.MEETING), replace(WAITS, phase=Phase.EVALUATING)], (0,)),
        ([replace(WAITS, step=16), other(phase=Phase.READING)], (0,)),
        ([WAITS, other(frozen=True)], (1,)),
        ([replace(WAITS, frozen=True), other(step=16)], (0,)),
        ([replace(WAITS, frozen=True), other(frozen=True)], (0, 1)),
        ([WAITS, other(), replace(WAITS, rank=2)], (1, 2)),
        ([WAITS], (0,)),
    ],
)
def test_who_is_late(ranks: list[RankProgress], late: tuple[int, ...]) -> None:
    found = find(ranks, LIMITS)
    assert found
    assert found.late == late


@pytest.mark.parametrize(
    "busy",
    [
        other(idle=299, phase=Phase.READING),
        other(phase=Phase.READING, longest=501),
        other(phase=Phase.TRAINING, step=-1, longest=0),
        other(phase=Phase.READING, step=-1, longest=0),
        other(phase=Phase.EVALUATING, longest=0),
        other(phase=Phase.LOADING, longest=3),
        other(phase=Phase.SAVING, longest=3),
        other(phase=Phase.PUBLISHING, longest=3),
    ],
    ids=[
        "on time",
        "slow before",
        "first step",
        "first batch",
        "first batch of validation",
        "loading",
        "saving",
        "publishing",
    ],
)
def test_while_one_may_be_at_work_nobody_is_late(busy: RankProgress) -> None:
    assert find([WAITS, busy], LIMITS) is None
    assert find([WAITS, replace(busy, idle=2000, longest=2)], LIMITS)


def test_what_was_too_short_to_be_seen_is_known_from_the_first_step_on() -> None:
    assert find([WAITS, other(phase=Phase.READING, idle=301, longest=0)], LIMITS)


def test_no_limit_is_none() -> None:
    assert find([WAITS], Limits(timeout=0)) is None
    assert find([], LIMITS) is None


def test_asked_to_stop_the_late_are_killed_sooner_and_the_chief_never() -> None:
    chief, rank = replace(WAITS, idle=21, asked=True), other(idle=21, asked=True, phase=Phase.READING)
    found = find([chief, rank], LIMITS)
    assert found
    assert found.late == (1,)
    assert found.reason.startswith("no progress since the stop request: rank 1 has been reading images")
    assert find([chief, replace(rank, idle=19)], LIMITS) is None
    assert find([chief, replace(rank, longest=11)], LIMITS) is None, "its steps are slow"
    assert find([replace(chief, phase=Phase.SAVING), rank], LIMITS) is None
    assert find([replace(chief, phase=Phase.READING), replace(rank, phase=Phase.TRAINING)], LIMITS) is None
    assert find([chief, rank], Limits(timeout=0, stopping=20)), "also where there is no watchdog"


def test_the_longest_and_the_last_time_in_each_phase() -> None:
    pace = RankHistory(RankStatus(), 100.0)
    for step, time, phase in [
        (-1, 104.0, Phase.READING),
        (-1, 105.0, Phase.TRAINING),
        (1, 165.0, Phase.READING),
        (1, 166.0, Phase.TRAINING),
        (2, 168.0, Phase.SAVING),
    ]:
        pace = pace.after(RankStatus(step, time, phase))
        assert pace.after(pace.status) is pace
    assert pace.longest == {Phase.STARTING: 4.0, Phase.READING: 1.0, Phase.TRAINING: 60.0}
    assert pace.last[Phase.TRAINING] == 2.0
    assert pace.since == 168.0
