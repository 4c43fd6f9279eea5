"""The gang's decisions: pure functions, held to their promises on any sequence of words."""

from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.distribution.agreement import Agreement
from trainer.distribution.rank_status import Phase
from trainer.errors import EXIT_INVALID, EXIT_LOST
from trainer.gang.decisions import answer, record, review
from trainer.gang.forming.policy import WAIT_FOR_ALL, Policy
from trainer.gang.forming.seats import FIRST_WAIT, FRESH_SECONDS, REFUSED_FOR, SILENT_AFTER, missing
from trainer.gang.members import (
    Answer,
    ExitPod,
    Gang,
    Member,
    MemberState,
    RefusePod,
    RunRanks,
    Seat,
    StopMode,
    StopRanks,
)
from trainer.gang.ranks.stall import NO_LIMITS, Limits, RankProgress

pytestmark = pytest.mark.fast

COMMON = Agreement({"train": {"epochs": 3}}, "pod 0")
OTHER = Agreement({"train": {"epochs": 4}}, "pod 1")
join = partial(Member, agreement=COMMON.digest)


class Table:
    """A coordinator without clock and network: `say` is one word of one member."""

    def __init__(self, wanted: int, policy: Policy = WAIT_FOR_ALL) -> None:
        self.gang = Gang(agreement=COMMON)
        self.wanted = wanted
        self.policy = policy
        self.limits = NO_LIMITS
        self.now = 100.0
        self.formed = 0
        self.members = {index: join(index, f"uid-{index}", MemberState.IDLE, 1) for index in range(wanted)}

    def say(self, index: int, **changes: object) -> Answer:
        member = replace(self.members[index], **changes)  # type: ignore[arg-type]
        self.members[index] = member
        self.formed += 1
        heard = record(self.gang, member, now=self.now)
        self.gang = review(
            heard,
            now=self.now,
            wanted=self.wanted,
            token=f"t{self.formed}",
            limits=self.limits,
            policy=self.policy,
        )
        return answer(self.gang, member)

    def all_say(self, **changes: object) -> list[Answer]:
        return [self.say(index, **changes) for index in self.members]

    def run(self) -> "Table":
        """All stand idle, hear of the generation, and run it."""
        self.all_say(state=MemberState.IDLE)
        generation = self.gang.generation
        assert generation
        assert not self.gang.ending
        running = {"state": MemberState.RUNNING, "generation": generation.id, "number": generation.number}
        assert self.all_say(**running, exit_code=None) == [RunRanks(generation)] * len(self.members)
        return self


def test_it_forms_when_all_stand_idle() -> None:
    table = Table(3)
    assert isinstance(table.say(0), StopRanks)
    assert isinstance(table.say(1), StopRanks)
    assert set(missing(table.gang, now=table.now, wanted=3)) == {2}
    last = table.say(2)
    assert isinstance(last, RunRanks)
    assert last.generation.seats == tuple(Seat(index, f"uid-{index}", 1) for index in range(3))
    assert last.generation.number == 1
    assert table.say(0) == last


def test_a_pod_with_another_configuration_is_refused_and_the_others_wait_for_the_right_one() -> None:
    table = Table(2)
    table.say(0)
    right = table.members[1]
    for state in MemberState:
        refused = table.say(1, uid="wrong", agreement=OTHER.digest, state=state, exit_code=EXIT_INVALID)
        assert refused == RefusePod(COMMON)
        assert not isinstance(table.say(0), ExitPod)
    assert missing(table.gang, now=table.now, wanted=2) == {
        1: "was started with a different configuration; see its log"
    }
    assert str(OTHER.refusal(COMMON)).startswith(
        "pod 1 was started with a different configuration than pod 0: "
        "train.epochs is 4 in pod 1 and 3 in pod 0"
    )
    table.members[1] = right
    table.now += REFUSED_FOR + 1
    table.say(0)
    assert isinstance(table.say(1), RunRanks)


def test_a_running_pod_that_is_replaced_by_one_with_another_configuration_counts_as_lost() -> None:
    table = Table(2).run()
    table.say(1, uid="wrong", agreement=OTHER.digest)
    assert isinstance(table.say(0), RunRanks)
    table.now += SILENT_AFTER + 1
    lost = table.say(0)
    assert isinstance(lost, StopRanks)
    assert "pod 1 has been silent" in lost.reason


def test_it_does_not_form_with_one_that_was_not_heard_just_now() -> None:
    table = Table(2)
    table.say(0)
    table.now += FRESH_SECONDS + 0.1
    assert isinstance(table.say(1), StopRanks)
    assert isinstance(table.say(0), RunRanks)


def test_a_lost_rank_ends_the_generation_hard_and_the_next_one_has_another_id() -> None:
    table = Table(2).run()
    first = table.gang.generation
    table.say(1, state=MemberState.BACKING_OFF, exit_code=137)
    assert table.say(0) == StopRanks(StopMode.IMMEDIATE, "pod 1 has lost its ranks")
    table.say(0, state=MemberState.IDLE, exit_code=75)
    table.say(1, state=MemberState.IDLE)
    second = table.gang.generation
    assert first
    assert second
    assert second.number == 2
    assert second.id != first.id


def test_how_ranks_end_that_were_told_to_stop_is_no_news() -> None:
    table = Table(3).run()
    table.say(1, state=MemberState.BACKING_OFF, exit_code=137)
    table.say(0, state=MemberState.IDLE, exit_code=1)
    table.say(2, state=MemberState.IDLE, exit_code=EXIT_LOST)
    assert table.say(0) == StopRanks(StopMode.IMMEDIATE, "pod 1 has lost its ranks")


def test_a_broken_exchange_is_an_effect_until_its_cause_is_known() -> None:
    table = Table(3).run()
    table.say(0, state=MemberState.IDLE, exit_code=EXIT_LOST)
    assert table.say(2) == StopRanks(StopMode.IMMEDIATE, "the exchange with pod 0's ranks broke")
    table.say(2, state=MemberState.IDLE, exit_code=EXIT_LOST)
    table.say(1, state=MemberState.BACKING_OFF, exit_code=137)
    assert table.say(2) == StopRanks(StopMode.IMMEDIATE, "pod 1 has lost its ranks")


def test_a_rank_without_progress_ends_the_generation_and_is_named() -> None:
    table = Table(2).run()
    table.limits = Limits(timeout=300)
    waiting = RankProgress(0, 7, Phase.TRAINING, idle=301, longest=1)
    reading = RankProgress(1, 7, Phase.READING, idle=299, longest=1)
    assert table.say(0, progress=(waiting,)) == table.say(1, progress=(reading,))
    assert not table.gang.ending
    told = table.say(1, progress=(replace(reading, idle=301),))
    reason = "no progress: rank 1 has been reading images for 301 s, after step 7"
    assert told == table.say(0) == StopRanks(StopMode.IMMEDIATE, reason, late=(1,))


def test_a_rank_that_a_signal_has_stopped_is_named_and_replaced() -> None:
    table = Table(2).run()
    waiting = RankProgress(0, 7, Phase.TRAINING, idle=5, longest=1)
    stopped = RankProgress(1, 7, Phase.TRAINING, idle=4, longest=1, frozen=True)
    assert isinstance(table.say(0, progress=(waiting,)), RunRanks)
    assert isinstance(table.say(1, progress=(stopped,)), RunRanks)
    assert isinstance(table.say(1, progress=(replace(stopped, idle=6, frozen=False),)), RunRanks)
    told = table.say(1, progress=(replace(stopped, idle=6),))
    reason = "no progress: rank 1 has been in a training step for 6 s, after step 7, stopped by a signal"
    assert told == table.say(0) == StopRanks(StopMode.IMMEDIATE, reason, late=(1,))


def test_where_the_exchange_broke_the_rank_that_a_signal_has_stopped_is_the_cause() -> None:
    table = Table(2).run()
    stopped = RankProgress(1, 7, Phase.TRAINING, idle=2, longest=1, frozen=True)
    table.say(1, progress=(stopped,))
    table.say(0, state=MemberState.IDLE, exit_code=EXIT_LOST)
    told = table.say(1, progress=(stopped,))
    assert isinstance(told, StopRanks)
    assert told.late == (1,)
    assert told.reason.endswith("stopped by a signal")


def test_an_agreed_stop_leaves_the_others_the_time_to_save() -> None:
    table = Table(2).run()
    table.say(1, state=MemberState.LEAVING, exit_code=75)
    assert table.say(0) == StopRanks(StopMode.GRACEFUL, "pod 1 is leaving")
    table.now += SILENT_AFTER + 1
    assert table.say(0) == StopRanks(StopMode.GRACEFUL, "pod 1 is leaving"), "its silence is no news"
    replacement = replace(
        table.members[1], uid="other", state=MemberState.IDLE, generation="", exit_code=None
    )
    table.members[1] = replacement
    assert isinstance(table.say(1), StopRanks)
    assert table.say(0) == StopRanks(StopMode.GRACEFUL, "pod 1 is leaving"), "nor is its replacement"


def test_a_soft_ending_becomes_hard_when_another_is_lost() -> None:
    table = Table(3).run()
    table.say(2, state=MemberState.IDLE, exit_code=75)
    assert table.say(0) == StopRanks(StopMode.GRACEFUL, "pod 2 has stopped its ranks")
    table.say(1, state=MemberState.BACKING_OFF, exit_code=1)
    assert table.say(0) == StopRanks(StopMode.IMMEDIATE, "pod 1 has lost its ranks")


def test_a_silent_member_ends_the_generation() -> None:
    table = Table(2).run()
    table.now += SILENT_AFTER + 0.1
    assert table.say(0) == StopRanks(StopMode.IMMEDIATE, "pod 1 has been silent for 6 s")


def test_a_supervisor_that_started_anew_ends_the_generation_and_the_old_one_is_not_heard_again() -> None:
    table = Table(2).run()
    old = table.members[1]
    table.members[1] = join(1, "other", MemberState.IDLE, 1)
    assert isinstance(table.say(1), StopRanks)
    assert table.say(0) == StopRanks(StopMode.IMMEDIATE, "pod 1 was restarted")
    assert table.say(0, state=MemberState.IDLE) == RunRanks(table.gang.generation)  # type: ignore[arg-type]
    gang = record(table.gang, old, now=table.now)
    assert gang == table.gang
    assert answer(gang, old) == StopRanks(StopMode.IMMEDIATE, "another supervisor has taken over pod 1")


def test_the_next_generation_forms_only_after_the_reason_was_told() -> None:
    table = Table(1).run()
    assert table.say(0, state=MemberState.IDLE, exit_code=1) == StopRanks(
        StopMode.IMMEDIATE, "pod 0 has lost its ranks"
    )
    assert isinstance(table.say(0), RunRanks)


@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 2)])
def test_another_size_is_a_soft_ending_and_the_next_generation_has_it(before: int, after: int) -> None:
    table = Table(before).run()
    table.wanted = after
    assert isinstance(table.say(0), RunRanks if after > before else StopRanks)
    for index in range(before, after):
        assert table.gang.ending is None, "it trains until the new pod has reported"
        table.members[index] = join(index, f"uid-{index}", MemberState.IDLE, 1)
        table.say(index)
    assert isinstance(table.say(0), StopRanks)
    assert table.gang.ending
    assert table.gang.ending.mode == StopMode.GRACEFUL
    answers = table.all_say(state=MemberState.IDLE, exit_code=75)
    answers = table.all_say()
    assert table.gang.generation
    assert [seat.index for seat in table.gang.generation.seats] == list(range(after))
    assert all(isinstance(one, RunRanks) for one in answers[:after])
    assert all(isinstance(one, StopRanks) for one in answers[after:])


def test_the_end_is_0_when_all_are_done_and_stays() -> None:
    table = Table(2).run()
    assert isinstance(table.say(0, state=MemberState.DONE, exit_code=0), RunRanks)
    assert table.say(1, state=MemberState.DONE, exit_code=0) == ExitPod(0)
    assert table.say(0) == ExitPod(0)
    table.members[1] = join(1, "replacement", MemberState.IDLE, 1)
    assert table.say(1) == ExitPod(0)


def test_who_is_done_forms_again_with_one_that_failed_at_the_end() -> None:
    table = Table(2).run()
    table.say(0, state=MemberState.DONE, exit_code=0)
    table.say(1, state=MemberState.BACKING_OFF, exit_code=139)
    assert table.say(0) == StopRanks(StopMode.IMMEDIATE, "pod 1 has lost its ranks")


def test_64_ends_everything() -> None:
    table = Table(2).run()
    table.say(1, state=MemberState.LEAVING, exit_code=64)
    assert table.say(0) == ExitPod(64, "pod 1 failed permanently (exit 64); see its log")


def test_a_new_coordinator_stops_what_it_does_not_know_and_counts_on() -> None:
    table = Table(2).run()
    table.gang = Gang()
    assert table.say(1) == StopRanks(StopMode.IMMEDIATE, "a new generation is forming")
    table.say(1, state=MemberState.IDLE, exit_code=75)
    table.members[0] = join(0, "new", MemberState.IDLE, 1)
    formed = table.say(0)
    assert isinstance(formed, RunRanks)
    assert formed.generation.number == 2


words = st.tuples(
    st.integers(0, 3),  # who
    st.sampled_from(["say", "idle", "run", "rest", "done", "leave", "anew", "ghost", "wanted"]),
    st.sampled_from([0, 1, 75, EXIT_LOST, 137]),
    st.sampled_from([0.0, 0.3, 1.5, 7.0]),
)


policies = st.one_of(
    st.just(WAIT_FOR_ALL),
    st.builds(
        Policy,
        elastic=st.booleans(),
        min_ranks=st.sampled_from([None, 1, 2]),
        wait=st.sampled_from([0.0, 2.0]),
        give_up_after=st.sampled_from([20.0, 1000.0]),
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 3), st.lists(words, max_size=60), policies)
def test_on_any_sequence_of_words(
    wanted: int, sequence: list[tuple[int, str, int, float]], policy: Policy
) -> None:
    table = Table(wanted, policy)
    ids: list[str] = []
    ghosts: list[Member] = []
    answered: dict[int, Answer] = {}
    for step, (who, act, code, pause) in enumerate(sequence):
        table.now += pause
        before = table.gang
        member = table.members.get(who) or join(who, f"uid-{who}", MemberState.IDLE, 1 + who % 2)
        if act == "wanted":
            table.wanted = 1 + code % 4
        elif act == "anew":
            ghosts.append(member)
            member = join(who, f"uid-{who}-{step}", MemberState.IDLE, member.ranks)
        elif act == "ghost" and ghosts:
            gang = record(table.gang, ghosts[-1], now=table.now)
            assert not isinstance(answer(gang, ghosts[-1]), RunRanks)
            continue
        elif act == "run":
            told = answered.get(who)
            if isinstance(told, RunRanks) and member.state is MemberState.IDLE:
                member = replace(
                    member,
                    state=MemberState.RUNNING,
                    generation=told.generation.id,
                    number=told.generation.number,
                    exit_code=None,
                )
        elif act in ("rest", "leave", "done") and member.state is MemberState.RUNNING:
            state = {"rest": MemberState.BACKING_OFF, "leave": MemberState.LEAVING, "done": MemberState.DONE}[
                act
            ]
            member = replace(member, state=state, exit_code=0 if act == "done" else code)
        elif act == "idle":
            ended = code if member.state is MemberState.RUNNING else member.exit_code
            member = replace(member, state=MemberState.IDLE, exit_code=ended)
        table.members[who] = member
        told = answered[who] = table.say(who)

        gang = table.gang
        if isinstance(told, RunRanks):
            assert told.generation == gang.generation
            assert not gang.ending
            assert Seat(who, member.uid, member.ranks) in told.generation.seats
        if isinstance(told, ExitPod):
            assert told.exit_code == 0 or (told.exit_code == 75 and told.reason.startswith("waited "))
            if told.exit_code == 75 and before.end is None:
                assert before.waiting_since is not None
                assert table.now - before.waiting_since >= policy.give_up_after
                assert missing(gang, now=table.now, wanted=table.wanted)
        if gang.generation and gang.generation is not before.generation:
            assert gang.generation.id not in ids
            ids.append(gang.generation.id)
            seated = [seat.index for seat in gang.generation.seats]
            everybody = list(range(table.wanted))
            if seated != everybody:
                assert policy.elastic
                assert seated == [index for index in everybody if index in seated]
                assert policy.enough([gang.members[index] for index in seated], table.wanted)
                assert before.waiting_since is not None
                wait = policy.wait if before.generation else max(policy.wait, FIRST_WAIT)
                assert table.now - before.waiting_since >= wait
            assert before.generation is None or gang.generation.number > before.generation.number
            for seat in gang.generation.seats:
                present = gang.members[seat.index]
                assert present.state is MemberState.IDLE
                assert table.now - present.heard <= FRESH_SECONDS
        elif before.generation and not before.ending and gang.ending:
            assert (
                not gang.ending.reason.startswith("pod")
                or "join" not in gang.ending.reason
                or any(
                    index in gang.members and gang.generation and gang.generation.seat(index) is None
                    for index in range(table.wanted)
                )
            ), "nobody stops for a pod that is not there"
        elif before.ending:
            assert gang.ending or gang.end is not None, "an ended generation does not come back"
            if gang.ending and before.ending.mode == StopMode.IMMEDIATE:
                assert gang.ending.mode == StopMode.IMMEDIATE
        if before.end is not None:
            assert gang.end == before.end

    # Whatever happened: once all who are wanted stand idle, they train.
    if table.gang.end is None:
        for index in range(table.wanted):
            member = table.members.get(index) or join(index, f"uid-{index}", MemberState.IDLE, 1)
            table.members[index] = replace(member, state=MemberState.IDLE)
        table.all_say(), table.all_say()
        if table.gang.end is None:
            assert all(isinstance(table.say(index), RunRanks) for index in range(table.wanted))


def test_a_late_report_of_a_supervisor_that_has_ended_does_not_keep_its_replacement_out() -> None:
    table = Table(2)
    table.members[1] = join(1, "new", MemberState.IDLE, 1)
    table.say(1)
    table.members[1] = join(1, "ended long ago", MemberState.IDLE, 1)
    table.say(1)
    new = join(1, "new", MemberState.IDLE, 1)
    while table.now < 100 + SILENT_AFTER + 1:
        table.now += 0.5
        table.say(0)
        table.members[1] = new
        table.say(1)
    assert isinstance(table.say(1), RunRanks)
