"""A gang of many pods forms, its answers stay short, and a loss is seen although few reports are reviewed."""

import time

from trainer.gang.coordinator import Coordinator, answer_to
from trainer.gang.members import Answer, Member, MemberState, RunRanks, StopRanks
from trainer.gang.messages import decode_answer, encode_member

PODS, RANKS = 512, 8


def reports(coordinator: Coordinator, members: list[Member]) -> list[Answer]:
    answers = []
    for member in members:
        data = answer_to(coordinator, encode_member(member))
        assert len(data) < 250
        answers.append(decode_answer(data)[0])
    return answers


def until(coordinator: Coordinator, members: list[Member], kind: type[Answer]) -> list[Answer]:
    """Reports again and again, as supervisors do, until all are answered so."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answers = reports(coordinator, members)
        if all(isinstance(answer, kind) for answer in answers):
            return answers
        time.sleep(0.05)
    raise AssertionError("the gang did not agree")


def test_512_pods_form_and_end_together() -> None:
    coordinator = Coordinator(lambda: PODS)
    idle = [Member(pod, f"uid-{pod}", MemberState.IDLE, RANKS) for pod in range(PODS)]
    try:
        first, *others = until(coordinator, idle, RunRanks)
        assert isinstance(first, RunRanks)
        assert first.generation.size == PODS * RANKS
        assert all(answer == first for answer in others)
        made = first.generation
        running = [
            Member(pod, f"uid-{pod}", MemberState.RUNNING, RANKS, made.id, made.number) for pod in range(PODS)
        ]
        until(coordinator, running, RunRanks)
        running[77] = Member(77, "another", MemberState.IDLE, RANKS)
        assert {
            answer.reason
            for answer in until(coordinator, running, StopRanks)
            if isinstance(answer, StopRanks)
        } == {"pod 77 was restarted"}
    finally:
        coordinator.close()
