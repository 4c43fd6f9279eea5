"""Pods of one run in a simulated world. What decides is the trainer's own code: decisions, contacts, tokens,
commits, restore and retention. Supervisors, ranks and their steps are played."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from tests.simulation.store import Played, Request
from tests.simulation.world import Faults, Violation, World
from trainer.checkpoints import commit as commits
from trainer.checkpoints.array_layout import ArrayLayout
from trainer.checkpoints.restore import restore
from trainer.checkpoints.retention import Retention
from trainer.checkpoints.training_state import TrainingState, describe
from trainer.errors import EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_INVALID, EXIT_LOST
from trainer.gang import decisions
from trainer.gang.forming import seats as forming
from trainer.gang.forming.policy import Policy
from trainer.gang.leading import contact as contacts
from trainer.gang.leading import tokens
from trainer.gang.members import (
    Answer,
    End,
    ExitPod,
    Gang,
    Generation,
    Held,
    Member,
    MemberState,
    Redirect,
    RunRanks,
    StopMode,
    StopRanks,
)
from trainer.runs import layout
from trainer.runs.fence import Fence, Superseded
from trainer.runs.layout import Attempt

GANG = "job"
IDLE_POLL, RUNNING_POLL = 0.6, 2.5
STEP_SECONDS = 2.0
SAVE_EVERY = 3
GLOO_SECONDS = 3.0
JOIN_SECONDS = 30.0
ORPHAN_AGE = 30.0


class FrozenTime:
    """Stands for datetime in played code, which must do the same each time."""

    @staticmethod
    def now(zone: Any) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Coordinator:
    """As trainer.gang.coordinator, with the world's clock and without threads."""

    pod: Pod
    lead: tokens.Lead | None
    gang: Gang = field(default_factory=Gang)
    deposed: tokens.Lead | None = None
    addresses: dict[int, str] = field(default_factory=dict)
    busy: bool = False
    next_watch: float = 0.0
    delivered: dict[int, tuple[float, Member]] = field(default_factory=dict)
    replaced: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.lead and self.lead.gang == GANG:
            self.gang = Gang(step=self.lead.step, failures=self.lead.failures)

    def report(self, member: Member, address: str) -> Answer:
        world, sim = self.pod.world, self.pod.sim
        if self.deposed:
            return Redirect(self.deposed.address)
        self.addresses[member.index] = address
        before = self.gang
        self.gang = decisions.record(self.gang, member, now=world.now)
        sim.judge_member(self, self.gang.members[member.index])
        if member.uid not in self.gang.retired:
            self.delivered[member.index] = (world.now, member)
        sim.formed += 1
        self.gang = decisions.review(
            self.gang, now=world.now, wanted=sim.wanted, token=f"t{sim.formed}", policy=sim.policy
        )
        self.follow_tokens()
        sim.judge_review(self, before, self.gang)
        return decisions.answer(self.gang, member)

    def follow_tokens(self) -> None:
        world = self.pod.world
        if self.busy or not (self.gang.ready or world.now >= self.next_watch):
            return
        self.busy, self.next_watch = True, world.now + 10
        mine = tokens.Lead(GANG, self.pod.uid, self.pod.index, self.pod.address, dict(self.addresses))
        mine = replace(mine, step=self.gang.step, failures=self.gang.failures)
        seen, ready, extra = self.lead, self.gang.ready, {"name": f"{self.pod.uid}-{world.now}"}

        def code(store: Played) -> Any:
            if ready:
                return tokens.take_token(store, mine, seen, extra)
            newest = tokens.read_lead(store)
            if newest and newest.number > (seen.number if seen else 0):
                return tokens.judge(newest, mine, seen)
            return None

        def done(outcome: Any, error: Exception | None) -> None:
            self.busy = False
            if isinstance(outcome, tokens.Taken):
                self.pod.sim.judge_taken(outcome.number, self.pod.uid)
                self.lead = replace(mine, number=outcome.number)
                self.gang = replace(self.gang, token=outcome.number)
            elif isinstance(outcome, tokens.Deposed):
                self.deposed = outcome.lead
            elif outcome is not None:
                self.gang = replace(self.gang, end=End(EXIT_INVALID, "another run"))

        self.pod.call(code, done)


@dataclass
class Training:
    """One generation's ranks: one rank a pod, which make their steps together."""

    sim: Simulation
    generation: Generation
    pods: dict[int, Pod] = field(default_factory=dict)
    step: int = -1
    begun: bool = False
    broken: bool = False
    stopping: bool = False
    saving: bool = False
    finishing: bool = False
    fence: tuple[int, str] = (0, "")
    ended: bool = False

    @property
    def chief(self) -> Pod:
        return self.pods[self.generation.seats[0].index]

    def join(self, pod: Pod) -> None:
        if self.broken:
            pod.ranks_end(EXIT_LOST)
            return
        self.pods[pod.index] = pod
        if len(self.pods) == len(self.generation.seats):
            self.begin()
        else:
            self.sim.world.after(JOIN_SECONDS, lambda: None if self.begun else self.fall())

    def whole(self) -> bool:
        first = self.chief
        return all(
            pod.trains(self) and self.sim.connected(first.index, pod.index) for pod in self.pods.values()
        ) and len(self.pods) == len(self.generation.seats)

    def begin(self) -> None:
        """The chief takes the token that the coordinator took for it, and the state: the leader's, or a
        checkpoint's if that is newer."""
        self.begun = True
        number, sim = self.generation.token, self.sim
        floor = max(sim.acknowledged, default=-1)

        def code(store: Played) -> Any:
            fence = Fence.hold(store, number, GANG)
            return fence.etag, restore(store, workers=1)

        def done(result: Any, error: Exception | None) -> None:
            if error:
                if not isinstance(error, Superseded | OSError):
                    raise Violation(f"restore failed: {error!r}")
                self.fall(EXIT_INTERRUPTED)
                return
            etag, restored = result
            self.fence = number, etag
            sim.judge_restored(restored, floor)
            leader = self.generation.leader
            self.step = max(restored.step if restored else 0, leader.step if leader else 0)
            sim.judge_start(self)
            sim.world.after(STEP_SECONDS, self.tick)

        self.chief.call(code, done, lambda: self.chief.has(self))

    def tick(self) -> None:
        sim = self.sim
        if self.broken or self.ended:
            return
        if not self.whole():
            sim.world.after(GLOO_SECONDS, self.fall)
            return
        if self.finishing:
            sim.world.after(STEP_SECONDS, self.tick)
            return
        if any(pod.asked for pod in self.pods.values()):
            self.stopping = True
            self.save(lambda: self.end(EXIT_INTERRUPTED))
            return
        self.step += 1
        sim.judge_step(self)
        if self.step >= sim.steps:
            self.finishing = True
            self.save(self.finish)
        elif self.step % SAVE_EVERY == 0 and not self.saving:
            self.save(lambda: None)
        sim.world.after(STEP_SECONDS, self.tick)

    def save(self, then: Callable[[], None]) -> None:
        sim, step, (number, etag) = self.sim, self.step, self.fence
        self.saving = True
        sim.attempts += 1
        attempt = Attempt(step, number, f"u{sim.attempts:06d}")
        array = np.full(8, attempt.step % 251, np.uint8)
        state = TrainingState(step, {"w": array}, {"uid": attempt.uid})
        arrays = ArrayLayout.of(state.arrays)
        description = describe(state, arrays)

        def code(store: Played) -> Any:
            fence = Fence(store, number, etag, GANG)
            commits.write(fence, attempt, array.data, description, piece_bytes=8, workers=1)
            return attempt

        def sweep(store: Played) -> Any:
            fence = Fence(store, number, etag, GANG)
            Retention(fence, keep_last=1, read_age=0, orphan_age=ORPHAN_AGE, workers=1).sweep(attempt)

        def done(result: Any, error: Exception | None) -> None:
            self.saving = False
            if isinstance(error, Superseded):
                self.fall(EXIT_INTERRUPTED)
            elif error:
                if not isinstance(error, OSError):
                    raise Violation(f"save failed: {error!r}")
                if self.stopping or self.finishing:
                    sim.world.after(1.0, lambda: self.save(then))
            else:
                sim.acknowledged.append(attempt.step)
                self.chief.call(sweep, self.swept, lambda: self.chief.has(self))
                then()

        self.chief.call(code, done, lambda: self.chief.has(self))

    def swept(self, result: Any, error: Exception | None) -> None:
        if error and not isinstance(error, Superseded | OSError):
            raise Violation(f"retention failed: {error!r}")

    def finish(self) -> None:
        if self.whole():
            self.sim.finished = True
            self.end(EXIT_FINISHED)
        else:
            self.fall()

    def end(self, code: int) -> None:
        if not self.ended:
            self.ended = True
            for pod in self.pods.values():
                if pod.trains(self):
                    pod.ranks_end(code, self.step)

    def fall(self, code: int = EXIT_LOST) -> None:
        """The exchange broke."""
        if not self.broken and not self.ended:
            self.broken = True
            for pod in self.pods.values():
                if pod.trains(self):
                    pod.ranks_end(code, self.step)


class Pod:
    """A supervisor, over its restarts."""

    def __init__(self, sim: Simulation, index: int) -> None:
        self.sim, self.world, self.index = sim, sim.world, index
        self.address = f"job-{index}.gang:1"
        self.starts = 0
        self.alive = False
        self.paused_until = 0.0
        self.exit_code: int | None = None
        self.start()

    def start(self) -> None:
        if self.exit_code is not None and self.exit_code != EXIT_INTERRUPTED:
            return
        self.starts += 1
        self.alive, self.exit_code = True, None
        self.uid = f"{self.index}.{self.starts}"
        self.member = Member(self.index, self.uid, MemberState.IDLE, 1)
        self.training: Training | None = None
        self.asked = False
        self.coordinator: Coordinator | None = None
        self.reading = True
        self.answer_at = self.world.now
        self.call(tokens.read_lead, self.begin)

    def begin(self, lead: tokens.Lead | None, error: Exception | None) -> None:
        if error:
            self.world.after(1.0, lambda: self.call(tokens.read_lead, self.begin))
            return
        self.reading = False
        home = self.sim.home
        self.contact = contacts.first_contact(self.index, self.sim.wanted, GANG, home, lead, self.world.now)
        self.connect(lead)
        self.poll(self.uid)

    def call(self, code: Any, done: Any, alive: Callable[[], bool] = lambda: True) -> None:
        uid = self.uid

        def later(result: Any, error: Exception | None) -> None:
            if self.uid != uid or not self.alive or not alive():
                return
            if self.world.now < self.paused_until:
                self.world.at(self.paused_until, lambda: later(result, error))
            else:
                done(result, error)

        self.world.call(code, later, lambda: self.uid == uid and self.alive)

    def crash(self) -> None:
        self.alive = False
        self.training = None
        self.uid = f"{self.uid}x"

    def has(self, training: Training) -> bool:
        return self.alive and self.training is training

    def trains(self, training: Training) -> bool:
        return self.has(training) and self.world.now >= self.paused_until

    def connect(self, lead: tokens.Lead | None) -> None:
        self.world.note(f"{self.uid} asks {self.contact.target or 'nobody: it coordinates'}")
        self.coordinator = Coordinator(self, lead) if self.contact.coordinates else None

    def poll(self, uid: str) -> None:
        """Every moment of a supervisor's main loop and of the thread that follows the contact."""
        if self.uid != uid or not self.alive:
            return
        if self.world.now < self.paused_until:
            self.world.at(self.paused_until, lambda: self.poll(uid))
            return
        state = self.member.state
        if state is MemberState.IDLE and self.sim.finished:
            self.exit(EXIT_FINISHED)
            return
        if state is MemberState.DONE and self.world.now - self.answer_at > 30:
            self.exit(EXIT_FINISHED)
            return
        if self.training and (self.training.broken or self.training.ended):
            self.ranks_end(EXIT_LOST)  # which happened while this pod was paused
        self.follow()
        self.report()
        self.world.after(RUNNING_POLL if state is MemberState.RUNNING else IDLE_POLL, lambda: self.poll(uid))

    def report(self) -> None:
        member, uid = self.member, self.uid
        if self.coordinator:
            self.obey(member, self.coordinator.report(member, self.address))
            return
        target = self.sim.by_address[self.contact.target]

        def deliver() -> None:
            if not target.alive or not self.sim.connected(self.index, target.index) or target.reading:
                return
            if self.world.now < target.paused_until:
                self.world.at(target.paused_until, deliver)
                return
            if target.coordinator:
                answer: Answer = target.coordinator.report(member, self.address)
            else:
                answer = Redirect(contacts.known_coordinator(target.contact, self.world.now))

            def back() -> None:
                if self.uid == uid and self.alive and self.sim.connected(self.index, target.index):
                    if isinstance(answer, Redirect):
                        self.contact = contacts.redirected(self.contact, answer.address, self.world.now)
                    elif self.contact.target == target.address:
                        self.answer_at = self.world.now
                        self.contact = contacts.answered(self.contact, self.world.now)
                        if self.member == member:
                            self.obey(member, answer)

            self.world.send(back)

        self.world.send(deliver)

    def follow(self) -> None:
        now = self.world.now
        if self.coordinator:
            self.answer_at = now
            if self.coordinator.deposed:
                self.contact = contacts.give_way(self.contact, self.coordinator.deposed, now)
                if not self.contact.coordinates:
                    self.coordinator = None
            elif (
                not self.coordinator.gang.generation
                and contacts.is_in_vain(
                    self.contact,
                    alone=len(forming.present(self.coordinator.gang, now=now)) <= 1,
                    now=now,
                )
                and not self.reading
            ):
                self.reread(contacts.give_way)
        elif contacts.is_overdue(self.contact, now) and not self.reading:
            self.reread(contacts.next_contact)

    def reread(self, choose: Callable[..., contacts.Contact]) -> None:
        self.reading = True

        def done(lead: tokens.Lead | None, error: Exception | None) -> None:
            self.reading = False
            if not error:
                was = self.contact.coordinates
                self.contact = choose(self.contact, lead, self.world.now)
                self.world.note(f"{self.uid} tries {self.contact.target or 'itself'}")
                if self.contact.coordinates != was:
                    self.connect(lead)

        self.call(tokens.read_lead, done)

    def obey(self, member: Member, answer: Answer) -> None:
        state = self.member.state
        if isinstance(answer, ExitPod):
            if state is MemberState.RUNNING:
                self.training = None
            self.exit(answer.exit_code, lingers=self.coordinator is not None)
        elif isinstance(answer, RunRanks) and state is MemberState.IDLE:
            self.run(answer.generation)
        elif isinstance(answer, StopRanks) and state is MemberState.RUNNING:
            if answer.mode is StopMode.GRACEFUL:
                self.asked = True
            else:
                self.ranks_end(EXIT_LOST, self.training.step if self.training else -1)
        elif isinstance(answer, StopRanks) and state is MemberState.DONE:
            self.member = replace(self.member, state=MemberState.IDLE)

    def run(self, generation: Generation) -> None:
        training = self.sim.trainings.setdefault(generation.id, Training(self.sim, generation))
        self.sim.judge_run(self, training)
        self.asked, self.training = False, training
        self.member = replace(
            self.member,
            state=MemberState.RUNNING,
            generation=generation.id,
            number=generation.number,
            exit_code=None,
        )
        self.world.after(
            0.5 + self.world.random.random(), lambda: training.join(self) if self.has(training) else None
        )

    def ranks_end(self, code: int, step: int = -1) -> None:
        """The ranks have ended, and keep their state in a world whose ranks survive."""
        self.training = None
        held: tuple[Held, ...] = (
            (Held(0, step),) if self.sim.survives and step >= 0 and code != EXIT_FINISHED else ()
        )
        held = held or (self.member.held if code != EXIT_FINISHED else ())
        state = MemberState.DONE if code == EXIT_FINISHED else MemberState.IDLE
        self.member = replace(self.member, state=state, exit_code=code, held=held)

    def rank_dies(self) -> None:
        if self.alive and self.training:
            self.training = None
            self.member = replace(self.member, state=MemberState.BACKING_OFF, exit_code=137, held=())
            uid = self.uid

            def ready() -> None:
                if self.uid == uid and self.member.state is MemberState.BACKING_OFF:
                    self.member = replace(self.member, state=MemberState.IDLE)

            self.world.after(self.world.random.random() * 2, ready)

    def exit(self, code: int, *, lingers: bool = False) -> None:
        """Ends; as a coordinator, after the others have heard of it."""
        self.exit_code = code
        if lingers:
            uid = self.uid
            self.member = replace(self.member, state=MemberState.LEAVING, exit_code=code)
            self.world.after(5.0, lambda: self.crash() if self.uid == uid else None)
            self.uid = uid
        else:
            self.crash()
            if code == EXIT_INTERRUPTED:
                self.world.after(3.0, self.start)


class Simulation:
    """One run of a gang.

    Attributes:
        lost: pods that go and never return.
        survives: whether survivors' ranks keep their state.
    """

    def __init__(
        self, world: World, pods: int, policy: Policy, *, steps: int = 12, survives: bool = False
    ) -> None:
        self.world, self.wanted, self.policy, self.steps, self.survives = world, pods, policy, steps, survives
        self.home = "job-0.gang:1"
        self.formed = self.attempts = 0
        self.finished = False
        self.lost: set[int] = set()
        self.groups: dict[int, int] = {}
        self.acknowledged: list[int] = []
        self.trainings: dict[str, Training] = {}
        self.writers: dict[int, set[str]] = {}
        self.superseded: dict[int, float] = {}
        self.looked: dict[int, float] = {}
        world.watch = self.judge_request
        self.pods = [Pod(self, index) for index in range(pods)]
        self.by_address = {pod.address: pod for pod in self.pods}

    def connected(self, one: int, other: int) -> bool:
        return self.groups.get(one, 0) == self.groups.get(other, 0)

    def over(self) -> bool:
        """Whether all pods that are not lost have ended."""
        return not any(pod.alive for pod in self.pods) and all(
            pod.exit_code is not None or pod.index in self.lost for pod in self.pods
        )

    # What has to hold.

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

    def check_the_end(self) -> None:
        if not self.over():
            states = {
                pod.index: (pod.uid, str(pod.member.state), pod.contact.target, pod.exit_code)
                for pod in self.pods
                if pod.alive and not pod.reading
            }
            raise Violation(f"not finished after {self.world.now:.0f} s: {states}")
        if not self.finished:
            raise Violation("all ended, and the run is not finished")
        result: list[Any] = []
        self.world.faults = Faults()
        self.world.call(lambda store: restore(store, workers=1), lambda *got: result.append(got))
        self.world.run(self.world.now + 100, lambda: bool(result))
        restored, error = result[0]
        if error:
            raise Violation(f"the last checkpoint cannot be restored: {error!r}")
        self.judge_restored(restored, max(self.acknowledged, default=-1))
