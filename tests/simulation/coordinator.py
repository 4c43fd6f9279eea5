"""A coordinator in the simulated world: trainer.gang.coordinator with the world's clock, without threads."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.simulation.store import Played
from trainer.errors import EXIT_INVALID
from trainer.gang import decisions
from trainer.gang.leading import tokens
from trainer.gang.members import Answer, End, Gang, Member, Redirect

if TYPE_CHECKING:
    from tests.simulation.pod import Pod

GANG = "job"


@dataclass
class Coordinator:
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
