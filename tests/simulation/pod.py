"""A pod's supervisor in the simulated world, over its restarts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.simulation.coordinator import GANG, Coordinator
from tests.simulation.training import Training
from trainer.errors import EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_LOST
from trainer.gang.forming import seats as forming
from trainer.gang.leading import contact as contacts
from trainer.gang.leading import tokens
from trainer.gang.members import (
    Answer,
    ExitPod,
    Generation,
    Held,
    Member,
    MemberState,
    Redirect,
    RunRanks,
    StopMode,
    StopRanks,
)

if TYPE_CHECKING:
    from tests.simulation.gang import Simulation

IDLE_POLL, RUNNING_POLL = 0.6, 2.5


class Pod:
    def __init__(self, sim: Simulation, index: int) -> None:
        self.sim, self.world, self.index = sim, sim.world, index
        self.address = f"job-{index}.gang:1"
        self.starts = 0
        self.alive = False
        self.paused_until = 0.0
        self.problem = ""
        self.exit_code: int | None = None
        self.start()

    def start(self) -> None:
        if self.exit_code is not None and self.exit_code != EXIT_INTERRUPTED:
            return
        self.starts += 1
        self.alive, self.exit_code = True, None
        self.uid = f"{self.index}.{self.starts}"
        self.member = Member(self.index, self.uid, MemberState.IDLE, 1, problem=self.problem)
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
            problem="",
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
        self.member = replace(self.member, state=state, exit_code=code, held=held, problem=self.problem)

    def rank_dies(self) -> None:
        if self.alive and self.training:
            self.training = None
            self.member = replace(self.member, state=MemberState.BACKING_OFF, exit_code=137, held=())
            uid = self.uid

            def ready() -> None:
                if self.uid == uid and self.member.state is MemberState.BACKING_OFF:
                    self.member = replace(self.member, state=MemberState.IDLE)

            self.world.after(self.world.random.random() * 2, ready)

    def say_problem(self, problem: str) -> None:
        """From now on this pod cannot join, "" if it can."""
        self.problem = problem
        if self.alive and self.member.state is not MemberState.RUNNING:
            self.member = replace(self.member, problem=problem)

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
