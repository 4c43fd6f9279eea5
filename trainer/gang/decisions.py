"""Which ranks train together: pure functions of the supervisors' reports and their times.

Each pod's supervisor reports its state about four times a second; the coordinator records it (`record`),
decides (`review`) and answers (`answer`). A generation is one set of rank processes that exchange with each
other; it ends as a whole, and the next one forms when all wanted pods are idle or, after a wait, enough of
them."""

from dataclasses import replace
from typing import Any

from trainer.errors import EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_INVALID, EXIT_LOST
from trainer.gang.forming.policy import WAIT_FOR_ALL, Policy
from trainer.gang.forming.seats import (
    SILENT_AFTER,
    give_up,
    leader,
    members_to_seat,
    resize,
    waiting_since,
)
from trainer.gang.members import (
    Answer,
    End,
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


def record(gang: Gang, member: Member, *, now: float) -> Gang:
    """Adds a member's report. Ignores retired supervisors, which may outlive their replacements.

    A retired one is heard again once its replacement is silent: a late report of a supervisor that has ended
    may come after the first one of the supervisor that replaced it. A pod with another agreement does not
    become a member.
    """
    if _is_refused(gang, member):
        return replace(gang, refused={**gang.refused, member.index: now})
    last = gang.members.get(member.index)
    if member.uid in gang.retired and last and now - last.heard <= SILENT_AFTER:
        return gang
    if member.progress or member.held:
        steps = [rank.step for rank in member.progress] + [rank.step for rank in member.held]
        if max(steps) > gang.step:
            gang = replace(gang, step=max(steps), failures=0)
    retired = gang.retired - {member.uid} if member.uid in gang.retired else gang.retired
    if last and last.uid != member.uid:
        retired |= {last.uid}
    return replace(gang, members={**gang.members, member.index: replace(member, heard=now)}, retired=retired)


def review(
    gang: Gang,
    *,
    now: float,
    wanted: int,
    token: str,
    limits: Limits = NO_LIMITS,
    policy: Policy = WAIT_FOR_ALL,
) -> Gang:
    """Ends the generation that has to end, and forms the next one when enough of the `wanted` pods are idle.

    Never both at once: the reason for the end is reported first.

    Args:
        now: seconds, on the clock of `Member.heard`.
        wanted: how many pods the gang should have; those with higher numbers wait.
        token: a random string for the next generation's id.
        limits: how long the ranks may make no progress.
        policy: when the gang trains without some of its pods.
    """
    if gang.end is None:
        gang = replace(gang, end=_end(gang))
    if gang.end is not None:
        return replace(gang, ready=False)
    if gang.generation:
        before = gang.ending
        gang = replace(gang, ending=_ending(gang, gang.generation, now, wanted, limits, policy))
        if gang.ending and (before is None or gang.ending.reason != before.reason):
            # The next one forms later, so that the reason is sent and logged.
            gang = replace(gang, waiting_since=waiting_since(gang, now), ready=False)
            return replace(gang, **_count_failure(gang, before, policy))
        if not gang.ending:
            return gang
    gang = replace(gang, waiting_since=waiting_since(gang, now))
    members = members_to_seat(gang, now, wanted, policy)
    if not members:
        return replace(gang, ready=False, end=give_up(gang, now, wanted, policy))
    if policy.tokens and not gang.token:
        return replace(gang, ready=True)
    last = gang.generation.number if gang.generation else 0
    number = 1 + max(last, *(member.number for member in gang.members.values()))
    seats = tuple(Seat(member.index, member.uid, member.ranks) for member in members)
    generation = Generation(f"{number}-{token}", number, seats, gang.token, leader(members))
    return replace(
        gang, generation=generation, ending=None, formed=now, waiting_since=None, ready=False, token=0
    )


def answer(gang: Gang, member: Member) -> Answer:
    """What a member that has just reported should do."""
    if gang.agreement and _is_refused(gang, member):
        return RefusePod(gang.agreement)
    if gang.end is not None:
        return ExitPod(gang.end.exit_code, gang.end.reason)
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


def _is_refused(gang: Gang, member: Member) -> bool:
    return gang.agreement is not None and member.agreement != gang.agreement.digest


def _count_failure(gang: Gang, before: Ending | None, policy: Policy) -> dict[str, Any]:
    """The changes of a gang whose generation ends for a new reason. `before`: its ending for the last one."""
    ending = gang.ending
    if ending is None or not ending.failed or (before and before.failed):
        return {}
    failures = gang.failures + 1
    if failures < policy.max_failures:
        return {"failures": failures}
    last = f"the last one ended because {ending.reason}"
    where = f"after step {gang.step}" if gang.step >= 0 else "before the first step"
    reason = f"{failures} generations in a row failed {where}, {last}; see its log"
    return {"failures": failures, "end": End(EXIT_INVALID, reason)}


def _end(gang: Gang) -> End | None:
    """EXIT_INVALID once a member reported it, EXIT_FINISHED when all are done; else None."""
    invalid = [member.index for member in gang.members.values() if member.exit_code == EXIT_INVALID]
    if invalid:
        return End(EXIT_INVALID, f"pod {min(invalid)} failed permanently (exit 64); see its log")
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
    return End(EXIT_FINISHED) if done else None


def _ending(
    gang: Gang, generation: Generation, now: float, wanted: int, limits: Limits, policy: Policy
) -> Ending | None:
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
    if ending is None or not ending.cause_known:
        seated = (gang.members[seat.index] for seat in generation.seats)
        living = (rank for member in seated for rank in member.progress)
        if frozen := stall.find_frozen(living, at_once=ending is not None):
            gone = ending.gone if ending else frozenset()
            return Ending(StopMode.IMMEDIATE, frozen.reason, gone, frozen.late, failed=True)
    if ending is None or ending.mode is StopMode.GRACEFUL:
        stalled = stall.find(_progress(gang, generation), limits)
        if stalled:
            gone = ending.gone if ending else frozenset()
            return Ending(StopMode.IMMEDIATE, stalled.reason, gone, stalled.late, failed=True)
    return ending or resize(gang, generation, now, wanted, policy)


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
        return Ending(StopMode.IMMEDIATE, f"{pod} has lost its ranks", failed=True)
    if now - member.heard > SILENT_AFTER:
        return Ending(StopMode.IMMEDIATE, f"{pod} has been silent for {SILENT_AFTER:.0f} s")
    return None
