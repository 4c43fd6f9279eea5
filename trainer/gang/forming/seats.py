"""Which members form the next generation, and for whom the gang waits: pure."""

import math
from collections.abc import Sequence

from trainer.errors import EXIT_INTERRUPTED
from trainer.gang.forming.policy import Policy
from trainer.gang.members import End, Ending, Gang, Generation, Leader, Member, MemberState, StopMode
from trainer.output.units import abbreviate, plural

SILENT_AFTER = 6.0
"""Seconds without a report after which a member counts as lost."""
FRESH_SECONDS = 1.0
"""A generation forms only of members that reported within this many seconds, so that all are still there."""
REFUSED_FOR = 60.0
"""Seconds for which the log names a pod that was refused."""
GROW_AFTER = 20.0
"""Seconds for which a generation trains before pods that came later join it, unless all wanted ones are
there."""

FIRST_WAIT = 5.0
"""Seconds that a new coordinator waits at least for all pods, as they start at about the same time."""


def waiting_since(gang: Gang, now: float) -> float:
    """When the gang began to wait for its next generation: now, if it has just begun."""
    return now if gang.waiting_since is None else gang.waiting_since


def members_to_seat(gang: Gang, now: float, wanted: int, policy: Policy) -> list[Member]:
    """The members of the next generation, in the order of their pods; empty while it cannot form."""
    absent = missing(gang, now=now, wanted=wanted)
    idle = [gang.members[index] for index in range(wanted) if index not in absent]
    if not absent:
        return idle
    stopping = any(
        (member := gang.members.get(index)) is not None
        and member.state in (MemberState.RUNNING, MemberState.DONE)
        and now - member.heard <= SILENT_AFTER
        for index in absent
    )
    wait = policy.wait if gang.generation else max(policy.wait, FIRST_WAIT)
    waited = now - waiting_since(gang, now) >= wait
    if policy.elastic and waited and not stopping and policy.enough(idle, wanted):
        return idle
    return []


def give_up(gang: Gang, now: float, wanted: int, policy: Policy) -> End | None:
    """The end of a gang that has waited too long; None before that."""
    waited = now - waiting_since(gang, now)
    if waited < policy.give_up_after:
        return None
    pods = [f"pod {index}, which {why}" for index, why in missing(gang, now=now, wanted=wanted).items()]
    return End(EXIT_INTERRUPTED, f"waited {waited:.0f} s for {abbreviate(pods, 3, separator='; ')}")


def leader(members: Sequence[Member]) -> Leader | None:
    """Who sends its state to the others: the first rank of those that hold the highest step; None if no rank
    holds a state."""
    best, first = None, 0
    for member in members:
        for held in sorted(member.held, key=lambda held: held.local):
            if best is None or held.step > best.step:
                best = Leader(first + held.local, held.step)
        first += member.ranks
    return best


def resize(gang: Gang, generation: Generation, now: float, wanted: int, policy: Policy) -> Ending | None:
    """Stops ranks of pods that are not wanted any more; and all, at an agreed step, for pods that have come.

    Until those have reported, the others train.
    """
    if any(seat.index >= wanted for seat in generation.seats):
        reason = f"{plural(wanted, 'pod')} wanted instead of {len(generation.seats)}"
        return Ending(StopMode.GRACEFUL, reason)
    absent = missing(gang, now=now, wanted=wanted)
    outside = [index for index in range(wanted) if generation.seat(index) is None]
    joining = [index for index in outside if index not in absent]
    whole = joining == outside
    if joining and (whole or (policy.elastic and now - gang.formed >= GROW_AFTER)):
        pods = "pod" if len(joining) == 1 else "pods"
        numbers = abbreviate(joining, 8)
        return Ending(StopMode.GRACEFUL, f"{pods} {numbers} {'joins' if len(joining) == 1 else 'join'}")
    return None


def present(gang: Gang, *, now: float) -> set[str]:
    """The uids of the members that still report and are not leaving."""
    return {
        member.uid
        for member in gang.members.values()
        if member.state is not MemberState.LEAVING and now - member.heard <= SILENT_AFTER
    }


def missing(gang: Gang, *, now: float, wanted: int) -> dict[int, str]:
    """The pods that a generation of `wanted` pods still waits for, each with the reason."""
    reasons = {}
    for index in range(wanted):
        member = gang.members.get(index)
        if now - gang.refused.get(index, -math.inf) <= REFUSED_FOR:
            reasons[index] = "was started with a different configuration; see its log"
        elif member is None:
            reasons[index] = "has not reported yet"
        elif now - member.heard > FRESH_SECONDS:
            reasons[index] = f"last reported {now - member.heard:.0f} s ago"
        elif member.state is not MemberState.IDLE:
            reasons[index] = {
                MemberState.RUNNING: "is still stopping its ranks",
                MemberState.BACKING_OFF: "is backing off after its ranks failed",
                MemberState.DONE: "has finished",
                MemberState.LEAVING: "has left",
            }[member.state]
        elif member.problem:
            reasons[index] = f"is not ready: {member.problem}"
    return reasons
