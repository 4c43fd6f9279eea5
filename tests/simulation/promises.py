"""What the gang's protocol promises, checked as a simulated run goes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.simulation.store import Request
from tests.simulation.world import Violation, World
from trainer.gang.forming.policy import Policy
from trainer.gang.members import Gang, Generation, Member, MemberState
from trainer.runs import layout

if TYPE_CHECKING:
    from tests.simulation.coordinator import Coordinator
    from tests.simulation.pod import Pod
    from tests.simulation.training import Training


class Promises:
    """
    Attributes:
        survives: whether survivors' ranks keep their state.
        acknowledged: the steps whose checkpoints were acknowledged.
        writers: for each token, the generations that trained under it.
    """

    def __init__(self, world: World, wanted: int, policy: Policy, *, survives: bool) -> None:
        self.world, self.wanted, self.policy, self.survives = world, wanted, policy, survives
        self.acknowledged: list[int] = []
        self.writers: dict[int, set[str]] = {}
        self.superseded: dict[int, float] = {}
        self.looked: dict[int, float] = {}
        world.watch = self.judge_request

    def judge_request(self, request: Request, call: int, *, issued: bool) -> None:
        now = self.world.now
        if request.method == "list" and request.key == layout.TOKENS and not issued:
            self.looked[call] = now
        if request.method != "put":
            return
        number = layout.token_number(request.key)
        if number is not None and not issued and not request.if_absent:
            raise Violation(f"token {number} can be overwritten")
        if number is not None and not issued and request.key not in self.world.objects.objects:
            for older in range(1, number):
                self.superseded.setdefault(older, now)
        parsed = layout.parse_checkpoint_key(request.key)
        if parsed and parsed[2] == layout.COMMIT and issued:
            generation = parsed[1].generation
            if call not in self.looked:
                raise Violation("a commit without a look at the tokens")
            if self.looked[call] >= self.superseded.get(generation, float("inf")):
                raise Violation(f"a commit under token {generation} after a look at a newer one")

    def judge_member(self, coordinator: Coordinator, member: Member) -> None:
        before = coordinator.delivered.get(member.index)
        if before is None or before[1].uid == member.uid:
            return
        if member.uid in coordinator.replaced and self.world.now - before[0] <= 6:
            raise Violation(f"pod {member.index}'s older supervisor is heard")
        coordinator.replaced.add(before[1].uid)

    def judge_taken(self, number: int, uid: str) -> None:
        data = self.world.objects.objects[layout.token(number)][0]
        if f'"uid": "{uid}"'.encode() not in data:
            raise Violation(f"{uid} holds token {number} of another")

    def judge_review(self, coordinator: Coordinator, before: Gang, after: Gang) -> None:
        now, wanted = self.world.now, self.wanted
        generation = after.generation
        if generation and generation is not before.generation:
            if not generation.token:
                raise Violation("a generation without a token")
            self.world.note(f"{coordinator.pod.uid}: {generation}")
            seated = [coordinator.gang.members[seat.index] for seat in generation.seats]
            if len(seated) < wanted and not (2 * len(seated) > wanted or self.policy.min_ranks):
                raise Violation(f"{len(seated)} of {wanted} pods train")
            for seat in generation.seats:
                heard, member = coordinator.delivered[seat.index]
                if member.uid != seat.uid or member.state is not MemberState.IDLE or now - heard > 1.0:
                    raise Violation(f"pod {seat.index} is in a generation, and was not ready for it")
                if member.problem:
                    raise Violation(f"pod {seat.index} is in a generation, and has {member.problem}")
            holding = [held.step for member in seated for held in member.held]
            if holding and (generation.leader is None or generation.leader.step < max(holding)):
                raise Violation("the leader does not hold the highest step")
            if before.generation and before.ending is None:
                raise Violation("a generation was replaced without a reason")
        told = before.ending.reason if before.ending else ""
        if after.ending and after.ending.reason != told and generation:
            self.world.note(f"{coordinator.pod.uid}: {generation.id} ends: {after.ending}")
            self.judge_reason(coordinator, generation, after)

    def judge_reason(self, coordinator: Coordinator, generation: Generation, after: Gang) -> None:
        assert after.ending
        reason = after.ending.reason
        named = re.search(r"pod (\d+)", reason)
        index = int(named[1]) if named else -1
        if index < 0:
            return
        heard, member = coordinator.delivered.get(index, (-100.0, None))
        seat = generation.seat(index)
        true = {
            "joins": member is not None and member.state is MemberState.IDLE and seat is None,
            "was restarted": member is not None and seat is not None and seat.uid != member.uid,
            "silent": self.world.now - heard > 6,
            "lost its ranks": member is not None and member.state is not MemberState.RUNNING,
        }
        for text, holds in true.items():
            if text in reason and not holds:
                raise Violation(f"the reason is not true: {reason}")

    def judge_run(self, pod: Pod, training: Training) -> None:
        seat = training.generation.seat(pod.index)
        if seat is None:
            raise Violation(f"pod {pod.index} runs in a generation without it")
        if pod.index in training.pods:
            raise Violation("ranks of two generations train together")

    def judge_restored(self, restored: Any, floor: int) -> None:
        if restored is None:
            if floor >= 0:
                raise Violation(f"step {floor} was acknowledged, and nothing is restored")
            return
        if restored.attempt.step < floor:
            raise Violation(f"step {floor} was acknowledged, and step {restored.attempt.step} restored")
        if (
            restored.values != {"uid": restored.attempt.uid}
            or (restored.arrays["w"] != restored.attempt.step % 251).any()
        ):
            raise Violation("a torn checkpoint was restored")

    def judge_start(self, training: Training) -> None:
        held = [rank.step for pod in training.pods.values() for rank in pod.member.held]
        if self.survives and held and max(held) > training.step:
            raise Violation(f"step {max(held)} is applied twice: the generation starts at {training.step}")

    def judge_step(self, training: Training) -> None:
        number = training.fence[0]
        self.writers.setdefault(number, set()).add(training.generation.id)
        if len(self.writers[number]) > 1:
            raise Violation(f"two generations train under token {number}")
