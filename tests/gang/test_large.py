"""A gang of many pods forms, its answers stay short, and a loss is seen although few reports are reviewed."""

from typing import Any

import pytest

from trainer.gang import coordinator as coordinators
from trainer.gang import decisions
from trainer.gang.coordinator import Coordinator, answer_to
from trainer.gang.members import Answer, Gang, Member, MemberState, RunRanks, StopRanks
from trainer.gang.messages import decode_answer, encode_member

PODS, RANKS = 512, 8
BETWEEN_REPORTS = 0.25 / PODS
"""Seconds: each pod reports four times a second."""
REVIEW_SECONDS = 0.02
ROUNDS = 8
"""Of reports of all pods, in which a gang agrees."""


class Clock:
    """Time as the coordinator sees it, which only reports and reviews take."""

    def __init__(self) -> None:
        self.now, self.reviews = 1000.0, 0
        self._decide = decisions.review

    def monotonic(self) -> float:
        return self.now

    def review(self, gang: Gang, **words: Any) -> Gang:
        self.now += REVIEW_SECONDS
        self.reviews += 1
        return self._decide(gang, **words)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(coordinators, "time", clock)
    monkeypatch.setattr(decisions, "review", clock.review)
    return clock


def reports(coordinator: Coordinator, members: list[Member], clock: Clock) -> list[Answer]:
    answers = []
    for member in members:
        data = answer_to(coordinator, encode_member(member))
        assert len(data) < 250
        answers.append(decode_answer(data)[0])
        clock.now += BETWEEN_REPORTS
    return answers


def until(coordinator: Coordinator, members: list[Member], kind: type[Answer], clock: Clock) -> list[Answer]:
    """Reports again and again, as supervisors do, until all are answered so."""
    for _ in range(ROUNDS):
        answers = reports(coordinator, members, clock)
        if all(isinstance(answer, kind) for answer in answers):
            return answers
    raise AssertionError(f"the gang did not agree within {ROUNDS} rounds of reports")


def test_512_pods_form_and_end_together(clock: Clock) -> None:
    coordinator = Coordinator(lambda: PODS)
    idle = [Member(pod, f"uid-{pod}", MemberState.IDLE, RANKS) for pod in range(PODS)]
    try:
        first, *others = until(coordinator, idle, RunRanks, clock)
        assert isinstance(first, RunRanks)
        assert first.generation.size == PODS * RANKS
        assert all(answer == first for answer in others)
        made = first.generation
        running = [
            Member(pod, f"uid-{pod}", MemberState.RUNNING, RANKS, made.id, made.number) for pod in range(PODS)
        ]
        until(coordinator, running, RunRanks, clock)
        before, begun = clock.reviews, clock.now
        reports(coordinator, running, clock)
        least = (clock.now - begun) / (coordinators.REVIEW_PAUSE_FACTOR * REVIEW_SECONDS)
        assert least - 1 <= clock.reviews - before <= least + 1, "few of the reports are reviewed"
        running[77] = Member(77, "another", MemberState.IDLE, RANKS)
        assert {
            answer.reason
            for answer in until(coordinator, running, StopRanks, clock)
            if isinstance(answer, StopRanks)
        } == {"pod 77 was restarted"}
    finally:
        coordinator.close()
