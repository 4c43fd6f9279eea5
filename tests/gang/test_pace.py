"""Which rank is slower than the others, and when it is named."""

import logging
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gang.test_decisions import Table
from trainer.distribution.rank_status import Phase, RankStatus
from trainer.gang.coordinator import Coordinator
from trainer.gang.endpoint import Endpoint
from trainer.gang.members import Member, MemberState, RunRanks
from trainer.gang.messages import decode_answer, decode_member, encode_answer, encode_member
from trainer.gang.ranks import pace
from trainer.gang.ranks.pace import NO_WORK, SLOW_AFTER_SECONDS, named, paces, slow_since
from trainer.gang.ranks.slow_ranks import SlowRanks
from trainer.gang.ranks.stall import RankProgress

pytestmark = pytest.mark.fast


def test_the_own_part_of_a_step_is_the_mean_of_a_minute_without_the_first_step() -> None:
    meter = NO_WORK
    worked = 0.0
    for step in range(300):
        worked += 30.0 if step == 0 else 0.1 if step < 150 else 0.3
        meter = meter.after(RankStatus(step, 0.0, Phase.TRAINING, worked, step + 1), 1000.0 + step)
        assert meter.seconds == pytest.approx(0.0 if step < 60 else 0.1 if step < 180 else meter.seconds)
    assert meter.seconds == pytest.approx(0.3)
    assert meter.after(RankStatus(299, 0.0, Phase.SAVING, worked, meter.timed), 9999.0) == meter, "no step"


@pytest.mark.parametrize(
    ("seconds", "slow"),
    [
        ({0: 1.0, 1: 1.0}, []),
        ({0: 1.0, 1: 1.3}, []),
        ({0: 1.0, 1: 1.4}, [1]),
        ({0: 1.0, 1: 1.0, 2: 2.0, 3: 1.0}, [2]),
        ({0: 4.0, 1: 4.1, 2: 3.9}, []),
        ({0: 1.0, 1: 0.0}, []),
        ({0: 5.0}, []),
        ({}, []),
    ],
)
def test_who_is_slow_against_the_median(seconds: dict[int, float], slow: list[int]) -> None:
    assert list(slow_since({}, paces(seconds, dict.fromkeys(seconds, 60)), 0.0)) == slow


def test_ranks_with_more_rows_of_a_step_may_take_longer() -> None:
    """Three ranks share four lanes, and one has two of them."""
    seconds, rows = {0: 1.0, 1: 1.1, 2: 2.0}, {0: 15, 1: 15, 2: 30}
    assert not slow_since({}, paces(seconds, rows), 0.0)
    assert list(slow_since({}, paces({**seconds, 1: 1.4}, rows), 0.0)) == [1]


@given(st.lists(st.floats(0.001, 1000), max_size=9), st.floats(0.01, 100))
def test_a_gang_that_is_slower_as_a_whole_has_no_slow_rank_for_it(
    seconds: list[float], factor: float
) -> None:
    rows = dict.fromkeys(range(len(seconds)), 60)
    before = paces(dict(enumerate(seconds)), rows)
    after = paces({rank: time * factor for rank, time in enumerate(seconds)}, rows)
    assert before == pytest.approx(after)
    assert sum(pace < 0.75 for pace in before.values()) <= len(seconds) / 2


def test_it_is_named_after_ten_minutes_without_interruption() -> None:
    since: dict[int, float] = {}
    for minute in range(10):
        since = slow_since(since, {0: 1.0, 1: 0.5}, 60.0 * minute)
        assert not named(since, 60.0 * minute)
    assert named(since, 600.0) == (1,)
    since = slow_since(since, {0: 1.0, 1: 0.8}, 600.0)
    assert not named(slow_since(since, {0: 1.0, 1: 0.5}, 660.0), 660.0)


def test_no_false_alarm_in_half_an_hour_of_a_machine_under_load() -> None:
    """Each rank's minute is up to four times as long as usual, by chance and not for one rank alone."""
    drawn = random.Random(0)
    since: dict[int, float] = {}
    for now in range(0, 1800, 60):
        load = 1 + 3 * drawn.random()
        seconds = {rank: load * (1 + drawn.random()) for rank in range(4)}
        since = slow_since(since, paces(seconds, dict.fromkeys(seconds, 60)), now)
        assert not named(since, now)


def test_the_log_names_the_slow_rank_with_pod_and_node_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    table, slow = Table(2).run(), SlowRanks()

    def at(now: float, *work: float) -> tuple[int, ...]:
        for index, seconds in enumerate(work):
            progress = (RankProgress(index, 7, Phase.TRAINING, 0.1, work=seconds),)
            table.say(index, progress=progress, node=f"node-{index}")
        slow.observe(table.gang, now)
        return slow.ranks

    assert at(0, 0.1, 0.4) == ()
    assert at(SLOW_AFTER_SECONDS - 1, 0.1, 0.4) == ()
    assert at(SLOW_AFTER_SECONDS + 5, 0.1, 0.4) == (1,)
    assert at(SLOW_AFTER_SECONDS + 11, 0.1, 0.4) == (1,)
    assert at(SLOW_AFTER_SECONDS + 17, 0.1, 0.1) == ()
    assert caplog.messages == [
        "rank 1 (pod 1 on node node-1) is slow: for 10 minutes its pace has been below that of the median "
        "rank; it is 0.25 of it now, 0.400 s for its own part of a step",
        "rank 1 is not slow any more",
    ]


def test_pods_hear_of_slow_ranks_and_show_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "SLOW_AFTER_SECONDS", 0.0)
    coordinator = Coordinator(lambda: 2)
    idle = [Member(index, f"uid-{index}", MemberState.IDLE, 1, node="n" * 253) for index in (0, 1)]
    first, second = idle
    coordinator.report(first)
    answer, port = coordinator.report(second)
    assert isinstance(answer, RunRanks)
    generation = answer.generation
    progress: tuple[RankProgress, ...] = ()
    for member, work in zip(idle, (0.1, 0.4), strict=True):
        progress = (RankProgress(member.index, 7, Phase.TRAINING, 0.1, work=work),)
        running = replace(
            member, state=MemberState.RUNNING, generation=generation.id, number=1, progress=progress
        )
        sent = decode_member(encode_member(running))
        assert sent.progress == progress
        monkeypatch.setattr(coordinator._slow, "_next", 0.0)
        answer, port = coordinator.report(sent)
    coordinator.close()
    answer, _ = decode_answer(encode_answer(answer, port))
    assert isinstance(answer, RunRanks)
    assert answer.slow == (1,)
    served = Endpoint(0, not_ready=lambda: "", output=lambda rank: None)
    try:
        served.update(progress, answer.slow)
        assert b'trainer_rank_slow{rank="1"} 1.0' in served.metrics()
        assert b'trainer_rank_work_seconds{rank="1"} 0.4' in served.metrics()
    finally:
        served.close()
