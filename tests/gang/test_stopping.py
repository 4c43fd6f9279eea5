"""Until when ranks that are to stop may run: a table."""

import pytest

from trainer.distribution.rank_status import Phase, RankStatus
from trainer.gang.ranks.stall import RankHistory
from trainer.gang.ranks.stopping import Deadlines, StopReason

pytestmark = pytest.mark.fast

DEADLINES = Deadlines(grace=60, gloo_timeout=5)


def pace(phase: Phase = Phase.TRAINING, since: float = 0.0) -> RankHistory:
    return RankHistory(RankStatus(7, since, phase), since, {Phase.TRAINING: 2.0}, {Phase.TRAINING: 30.0})


@pytest.mark.parametrize(
    ("why", "chief", "chief_ends", "other_ends"),
    [
        (StopReason.IMMEDIATELY, pace(), 100, 100),
        (StopReason.INVALID, pace(), 103, 103),
        (StopReason.REQUESTED, pace(), 160, 160),
        (StopReason.FINISHED, pace(), 220, 220),
        (StopReason.BROKEN, pace(), 110, 103),
        (StopReason.BROKEN, pace(since=101), 111, 103),
        (StopReason.BROKEN, pace(Phase.SAVING, since=104), 164, 103),
        (StopReason.BROKEN, pace(Phase.SAVING), 160, 103),
        (StopReason.BROKEN, pace(Phase.EVALUATING), 138, 103),
    ],
)
def test_until_when_each_may_run(
    why: StopReason, chief: RankHistory, chief_ends: float, other_ends: float
) -> None:
    ranks = {0: chief, 1: pace()}
    for rank, end in ((0, chief_ends), (1, other_ends)):
        assert rank not in DEADLINES.overdue(ranks, {why: 100.0}, end - 0.01)
        assert rank in DEADLINES.overdue(ranks, {why: 100.0}, end)


def test_who_holds_up_the_others_has_the_time_to_write_its_stacks() -> None:
    ranks, why = {0: pace(), 1: pace()}, {StopReason.BROKEN: 100.0}
    assert DEADLINES.overdue(ranks, why, 100.4, late=(0, 1)) == set()
    assert DEADLINES.overdue(ranks, why, 100.5, late=(0,)) == {0}
    assert DEADLINES.overdue(ranks, why, 100.5, late=(1,)) == {1}


def test_the_first_of_several_ends_counts() -> None:
    why = {StopReason.REQUESTED: 50.0, StopReason.BROKEN: 100.0}
    assert DEADLINES.overdue({0: pace(Phase.SAVING, since=101)}, why, 110.0) == {0}


def test_ranks_that_survive_in_place_all_have_the_time_to_keep_their_state() -> None:
    deadlines, why = Deadlines(grace=60, gloo_timeout=5, in_place=True), {StopReason.BROKEN: 100.0}
    ranks = {0: pace(), 1: pace(), 2: pace(Phase.HOLDING), 3: pace(Phase.LOADING)}
    assert deadlines.overdue(ranks, why, 109.9) == set()
    assert deadlines.overdue(ranks, why, 110.0) == {0, 1}
    assert deadlines.overdue(ranks, why, 103.0, frozen={1}) == {1}
    assert deadlines.overdue(ranks, why, 1e6) == {0, 1}, "the others wait for the next generation"
    assert deadlines.overdue(ranks, why | {StopReason.REQUESTED: 100.0}, 160.0) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("phase", "end"), [(Phase.LEAVING, 138.0), (Phase.PREPARING, 138.0), (Phase.SAVING, 160.0)]
)
def test_a_rank_that_hangs_on_its_way_out_is_not_waited_for(phase: Phase, end: float) -> None:
    """Not in Horovod's shutdown, nor in the first step of a later phase, in which it has met the others."""
    deadlines, why = Deadlines(grace=60, gloo_timeout=5, in_place=True), {StopReason.BROKEN: 100.0}
    ranks = {0: pace(phase), 1: pace(Phase.HOLDING)}
    assert deadlines.overdue(ranks, why, end - 0.01) == set()
    assert deadlines.overdue(ranks, why, end) == {0}


def test_without_the_chief_every_rank_has_the_time_to_hand_over_its_state() -> None:
    ranks, why = {1: pace(), 2: pace(Phase.EVALUATING)}, {StopReason.BROKEN: 100.0}
    assert DEADLINES.overdue(ranks, why, 109.9) == set()
    assert DEADLINES.overdue(ranks, why, 110.0) == {1}
    assert DEADLINES.overdue(ranks, why, 138.0) == {1, 2}
