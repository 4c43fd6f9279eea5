"""Which ranks train together: pure functions of the supervisors' reports and their times.

Each pod's supervisor reports its state about four times a second; the coordinator records it (`record`),
decides (`review`) and answers (`answer`). A generation is one set of rank processes that exchange with each
other; it ends as a whole, and the next one forms when all wanted pods are idle."""

import math
from dataclasses import replace

from trainer.errors import EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_INVALID, EXIT_LOST
from trainer.gang.members import (
    Answer,
    Ending,
    ExitPod,
    Gang,
    Generation,
    Member,
    MemberState,
    RefusePod,
    RunRanks,
    Seat,
    StopMode,
    StopRanks,
)
from trainer.gang.ranks import stall
from trainer.gang.ranks.stall import NO_LIMITS, Limits, RankProgress
from trainer.output.units import plural

SILENT_AFTER = 6.0
"""Seconds without a report after which a member counts as lost."""
FRESH_SECONDS = 1.0
"""A generation forms only of members that reported within this many seconds, so that all are still there."""
REFUSED_FOR = 60.0
"""Seconds for which the log names a pod that was refused."""


def record(gang: Gang, member: Member, *, now: float) -> Gang:
    """Adds a member's report. Ignores retired supervisors, which may outlive their replacements.

    A pod with another agreement does not become a member.
    """
    if _is_refused(gang, member):
        return replace(gang, refused={**gang.refused, member.index: now})
    if member.uid in gang.retired:
        return gang
    last = gang.members.get(member.index)
    retired = gang.retired | {last.uid} if last and last.uid != member.uid else gang.retired
    return replace(gang, members={**gang.members, member.index: replace(member, heard=now)}, retired=retired)


def review(gang: Gang, *, now: float, wanted: int, token: str, limits: Limits = NO_LIMITS) -> Gang:
    """Ends the generation that has to end, and forms the next one when all `wanted` pods are idle.

    Never both at once: the reason for the end is reported first.

    Args:
        now: seconds, on the clock of `Member.heard`.
        wanted: how many pods the gang should have.
        token: a random string for the next generation's id.
        limits: how long the ranks may make no progress.
    """
    if gang.end is None:
        gang = replace(gang, end=_end(gang))
    if gang.end is not None:
        return gang
    if gang.generation:
        reported = gang.ending.reason if gang.ending else None
        gang = replace(gang, ending=_ending(gang, gang.generation, now, wanted, limits))
        if gang.ending and gang.ending.reason != reported:
            return gang  # the next one forms later, so that the reason is sent and logged
    if (gang.generation is None or gang.ending) and not missing(gang, now=now, wanted=wanted):
        members = [gang.members[index] for index in range(wanted)]
        last = gang.generation.number if gang.generation else 0
        number = 1 + max(last, *(member.number for member in gang.members.values()))
        seats = tuple(Seat(member.index, member.uid, member.ranks) for member in members)
        return replace(gang, generation=Generation(f"{number}-{token}", number, seats), ending=None)
    return gang


def answer(gang: Gang, member: Member) -> Answer:
    """What a member that has just reported should do."""
    if gang.agreement and _is_refused(gang, member):
        return RefusePod(gang.agreement)
    if gang.end is not None:
        return ExitPod(gang.end)
    if member.uid in gang.retired:
        return StopRanks(StopMode.IMMEDIATE, f"another supervisor has taken over pod {member.index}")
    generation = gang.generation
    if generation is None:
        return StopRanks(StopMode.IMMEDIATE, "a new generation is forming")
    if gang.ending:
        return StopRanks(gang.ending.mode, gang.ending.reason, gang.ending.late)
    if generation.seat(member.index) != Seat(member.index, member.uid, member.ranks):
        return StopRanks(
            StopMode.IMMEDIATE, f"generation {generation.number} runs without pod {member.index}"
        )
    if member.state in (MemberState.RUNNING, MemberState.DONE) and member.generation != generation.id:
        return StopRanks(StopMode.IMMEDIATE, f"generation {generation.number} has begun")
    return RunRanks(generation)


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
    return reasons


def _is_refused(gang: Gang, member: Member) -> bool:
    return gang.agreement is not None and member.agreement != gang.agreement.digest


def _end(gang: Gang) -> int | None:
    """EXIT_INVALID once a member reported it, EXIT_FINISHED when all are done; else None."""
    if any(member.exit_code == EXIT_INVALID for member in gang.members.values()):
        return EXIT_INVALID
    generation = gang.generation
    if generation is None or gang.ending:
        return None
    done = all(
        (member := gang.members.get(seat.index)) is not None
        and member.uid == seat.uid
        and member.state in (MemberState.DONE, MemberState.LEAVING)
        and member.exit_code == EXIT_FINISHED
        and member.generation == generation.id
        for seat in generation.seats
    )
    return EXIT_FINISHED if done else None


def _ending(gang: Gang, generation: Generation, now: float, wanted: int, limits: Limits) -> Ending | None:
    """The ending so far, updated by what has happened since; never from immediate back to graceful."""
    ending = gang.ending
    for seat in generation.seats:
        if ending and seat.index in ending.gone:
            continue
        member = gang.members[seat.index]
        loss = _loss(generation, seat, member, now)
        if loss:
            gone = (ending.gone if ending else frozenset()) | {seat.index}
            leaves = member.state is MemberState.LEAVING
            if ending is None or _changes_ending(ending, loss, leaves=leaves):
                ending = loss
            ending = replace(ending, gone=gone)
    if ending is None or ending.mode is StopMode.GRACEFUL:
        stalled = stall.find(_progress(gang, generation), limits)
        if stalled:
            gone = ending.gone if ending else frozenset()
            return Ending(StopMode.IMMEDIATE, stalled.reason, gone, stalled.late)
    if not ending and wanted != len(generation.seats):
        reason = f"{plural(wanted, 'pod')} wanted instead of {len(generation.seats)}"
        ending = Ending(StopMode.GRACEFUL, reason)
    return ending


def _progress(gang: Gang, generation: Generation) -> list[RankProgress]:
    """The progress of all ranks that have not finished; empty before every pod has reported."""
    members = [gang.members[seat.index] for seat in generation.seats]
    running = [member for member in members if member.state is not MemberState.DONE]
    complete = all(member.state is MemberState.RUNNING and member.progress for member in running)
    return [rank for member in running for rank in member.progress] if complete else []


def _changes_ending(ending: Ending, loss: Ending, *, leaves: bool) -> bool:
    """Whether `loss` is a new reason. How ranks end after a stop request does not change the ending."""
    if loss.mode is StopMode.IMMEDIATE:
        return ending.mode is StopMode.GRACEFUL or (loss.cause_known and not ending.cause_known)
    return leaves and ending.mode is StopMode.GRACEFUL


def _loss(generation: Generation, seat: Seat, member: Member, now: float) -> Ending | None:
    pod = f"pod {seat.index}"
    if member.uid != seat.uid:
        return Ending(StopMode.IMMEDIATE, f"{pod} was restarted")
    ended = member.generation == generation.id and member.state in (MemberState.IDLE, MemberState.BACKING_OFF)
    if ended or member.state is MemberState.LEAVING:
        # Its ranks stopped at a step that all agreed on: those of other pods may still be saving.
        this_one = member.generation == generation.id
        if this_one and member.exit_code in (EXIT_INTERRUPTED, EXIT_FINISHED):
            event = "is leaving" if member.state is MemberState.LEAVING else "has stopped its ranks"
            return Ending(StopMode.GRACEFUL, f"{pod} {event}")
        if this_one and member.exit_code == EXIT_LOST:
            return Ending(StopMode.IMMEDIATE, f"the exchange with {pod}'s ranks broke", cause_known=False)
        if member.state is MemberState.LEAVING:
            return Ending(StopMode.IMMEDIATE, f"{pod} is leaving")
        return Ending(StopMode.IMMEDIATE, f"{pod} has lost its ranks")
    if now - member.heard > SILENT_AFTER:
        return Ending(StopMode.IMMEDIATE, f"{pod} has been silent for {SILENT_AFTER:.0f} s")
    return None
