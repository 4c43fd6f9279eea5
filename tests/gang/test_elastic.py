"""A gang that trains without some of its pods, and takes them in when they have come."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gang.test_decisions import Table, join
from trainer.gang.forming.policy import Policy
from trainer.gang.forming.seats import GROW_AFTER, SILENT_AFTER, leader
from trainer.gang.members import (
    ExitPod,
    Generation,
    Held,
    Leader,
    Member,
    MemberState,
    RunRanks,
    Seat,
    StopMode,
    StopRanks,
)
from trainer.gang.messages import decode_answer, decode_member, encode_answer, encode_member

pytestmark = pytest.mark.fast

ELASTIC = Policy(wait=20)


def wait_idle(table: Table, seconds: float, *indices: int) -> None:
    """The time passes while these pods report that they are idle."""
    until = table.now + seconds
    while table.now < until:
        table.now = min(until, table.now + 0.5)
        for index in indices:
            table.say(index, state=MemberState.IDLE)


def without(table: Table, index: int) -> None:
    """One pod falls silent; the others notice, and stop their ranks."""
    del table.members[index]
    table.now += SILENT_AFTER + 0.1
    table.all_say()
    assert isinstance(table.say(min(table.members)), StopRanks)


def seated(table: Table) -> list[int]:
    assert table.gang.generation
    return [seat.index for seat in table.gang.generation.seats]


def test_a_lost_pod_is_waited_for_and_then_left_out() -> None:
    table = Table(3, ELASTIC).run()
    without(table, 1)
    wait_idle(table, 19.5, 0, 2)
    assert isinstance(table.say(0), StopRanks)
    wait_idle(table, 1, 0, 2)
    assert isinstance(table.say(0), RunRanks)
    assert seated(table) == [0, 2]


def test_one_that_returns_within_the_wait_is_there_again() -> None:
    table = Table(3, ELASTIC).run()
    without(table, 1)
    wait_idle(table, 5, 0, 2)
    table.members[1] = join(1, "again", MemberState.IDLE, 1)
    wait_idle(table, 0.5, 1, 0, 2)
    assert seated(table) == [0, 1, 2]


@pytest.mark.parametrize(
    ("pods", "lost", "policy", "trains"),
    [
        (3, 1, ELASTIC, True),
        (2, 1, ELASTIC, False),
        (4, 2, ELASTIC, False),
        (2, 1, replace(ELASTIC, min_ranks=1), True),
        (4, 2, replace(ELASTIC, min_ranks=2), True),
        (4, 1, replace(ELASTIC, min_ranks=4), False),
        (3, 1, replace(ELASTIC, elastic=False), False),
    ],
)
def test_how_many_may_train_alone(pods: int, lost: int, policy: Policy, trains: bool) -> None:
    table = Table(pods, policy).run()
    without(table, pods - 1)
    for index in range(pods - lost, pods - 1):
        del table.members[index]
    wait_idle(table, 40, *range(pods - lost))
    assert isinstance(table.say(0), RunRanks) is trains


def test_an_exact_run_waits_for_nobody() -> None:
    table = Table(3, replace(ELASTIC, wait=0)).run()
    without(table, 0)
    wait_idle(table, 0.5, 1, 2)
    assert seated(table) == [1, 2]


def test_a_new_gang_starts_with_those_who_are_there_and_takes_in_the_others() -> None:
    table = Table(4, ELASTIC)
    late = table.members.pop(3)
    wait_idle(table, 20.5, 0, 1, 2)
    assert seated(table) == [0, 1, 2]
    assert table.gang.generation
    running = {"state": MemberState.RUNNING, "generation": table.gang.generation.id, "number": 1}
    table.all_say(**running)
    table.members[3] = late
    assert table.say(3) == table.say(0) == StopRanks(StopMode.GRACEFUL, "pod 3 joins")
    wait_idle(table, 1, 0, 1, 2, 3)
    assert seated(table) == [0, 1, 2, 3]


def test_while_more_are_missing_pods_that_come_join_only_after_a_while() -> None:
    table = Table(5, ELASTIC)
    late = table.members.pop(4), table.members.pop(3)
    wait_idle(table, 20.5, 0, 1, 2)
    generation = table.gang.generation
    assert generation
    table.all_say(state=MemberState.RUNNING, generation=generation.id, number=1)
    table.members[3] = late[1]
    table.say(3)
    assert table.say(0) == RunRanks(generation)
    while table.now < table.gang.formed + GROW_AFTER + 1:
        table.now += 0.5
        table.all_say()
    assert table.say(0) == StopRanks(StopMode.GRACEFUL, "pod 3 joins")


def test_pods_beyond_those_wanted_wait_and_stop_nobody() -> None:
    table = Table(2, ELASTIC).run()
    table.members[2] = join(2, "one too many", MemberState.IDLE, 1)
    assert table.say(2) == StopRanks(StopMode.IMMEDIATE, "generation 1 runs without pod 2")
    assert isinstance(table.say(0), RunRanks)


def test_a_member_that_still_stops_its_ranks_is_waited_for() -> None:
    table = Table(3, replace(ELASTIC, wait=0)).run()
    table.say(2, state=MemberState.BACKING_OFF, exit_code=137)
    table.say(0, state=MemberState.IDLE, exit_code=80)
    for _ in range(5):
        table.now += 0.5
        table.say(1)
        assert isinstance(table.say(0), StopRanks), "pod 1 still saves"
    table.say(1, state=MemberState.IDLE, exit_code=80)
    assert seated(table) == [0, 1]


@pytest.mark.parametrize("policy", [replace(ELASTIC, elastic=False), replace(ELASTIC, min_ranks=3)])
def test_who_waits_in_vain_ends_with_75_and_says_for_whom(policy: Policy) -> None:
    table = Table(3, replace(policy, give_up_after=60)).run()
    without(table, 1)
    wait_idle(table, 59, 0, 2)
    assert isinstance(table.say(0), StopRanks)
    wait_idle(table, 1.5, 0, 2)
    ends = table.say(0)
    assert ends == table.say(2)
    assert isinstance(ends, ExitPod)
    assert ends.exit_code == 75
    assert re.fullmatch(r"waited 6\d s for pod 1, which last reported \d+ s ago", ends.reason)


@given(
    st.lists(st.tuples(st.integers(1, 3), st.dictionaries(st.integers(0, 2), st.integers(0, 5))), max_size=4)
)
def test_the_leader_holds_the_highest_step(pods: list[tuple[int, dict[int, int]]]) -> None:
    members = [
        Member(
            index,
            "",
            MemberState.IDLE,
            ranks,
            held=tuple(Held(local, step) for local, step in held.items() if local < ranks),
        )
        for index, (ranks, held) in enumerate(pods)
    ]
    found = leader(members)
    first, holders = 0, []
    for member in members:
        holders += [(held.step, -(first + held.local)) for held in member.held]
        first += member.ranks
    assert found == (Leader(-max(holders)[1], max(holders)[0]) if holders else None)


def test_what_is_sent_arrives() -> None:
    member = Member(3, "uid", MemberState.IDLE, 2, held=(Held(1, 40),), port=29400)
    assert decode_member(encode_member(member)) == member
    for wrong in (replace(member, held=(Held(2, 40),)), replace(member, port=1 << 16)):
        with pytest.raises(ValueError):
            decode_member(encode_member(wrong))
    seats = tuple(Seat(index, "", ranks) for index, ranks in ((0, 2), (1, 2), (3, 2), (4, 1), (7, 1)))
    sent = RunRanks(Generation("7-a", 7, seats, token=12, leader=Leader(3, 40)))
    assert decode_answer(encode_answer(sent, 5)) == (sent, 5)
    assert sent.generation.runs == [[0, 2, 2], [3, 1, 2], [4, 1, 1], [7, 1, 1]]
