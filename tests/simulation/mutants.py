"""Errors planted in the protocol, each by replacing functions of the trainer; the simulation finds them."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from tests.simulation import training
from trainer.checkpoints import commit, restore, retention
from trainer.gang import decisions
from trainer.gang.forming import seats
from trainer.gang.forming.policy import Policy
from trainer.gang.leading import contact, tokens
from trainer.gang.members import Ending, Gang, Leader, Member, MemberState, RunRanks, StopMode
from trainer.runs import layout
from trainer.runs.fence import Fence

Mutant = Callable[[], AbstractContextManager[Any]]
original = (
    decisions.review,
    decisions.record,
    seats.members_to_seat,
    seats.resize,
    commit.survey,
    seats.missing,
)


def patched(module: Any, name: str, function: Any) -> Mutant:
    return lambda: mock.patch.object(module, name, function)


def lowest_leader(members: Any) -> Leader | None:
    held = [(rank.step, place) for place, member in enumerate(members) for rank in member.held]
    return Leader(min(held)[1], min(held)[0]) if held else None


def stale_members(known: Gang, now: float, wanted: int, policy: Policy) -> list[Member]:
    """Everybody that was ever idle."""
    idle = [member for member in known.members.values() if member.state is MemberState.IDLE]
    return sorted(idle, key=lambda member: member.index) if policy.enough(idle, wanted) else []


def healthy(known: Gang, *, now: float, wanted: int) -> dict[int, str]:
    """Also pods that cannot train."""
    members = {index: replace(member, problem="") for index, member in known.members.items()}
    return original[5](replace(known, members=members), now=now, wanted=wanted)


def record_all(known: Gang, member: Member, *, now: float) -> Gang:
    return replace(known, members={**known.members, member.index: replace(member, heard=now)})


def run_anybody(known: Gang, member: Member) -> Any:
    return RunRanks(known.generation) if known.generation and not known.ending else answer(known, member)


answer = decisions.answer


def without_token(known: Gang, **options: Any) -> Gang:
    return original[0](known, **{**options, "policy": replace(options["policy"], tokens=False)})


def same_token_again(known: Gang, **options: Any) -> Gang:
    new = original[0](known, **options)
    formed = new.generation is not known.generation
    return replace(new, token=new.generation.token) if formed and new.generation else new


def grow_for_nobody(*arguments: Any) -> Any:
    _, generation, _, wanted, _ = arguments
    absent = [index for index in range(wanted) if generation.seat(index) is None]
    if absent:
        return Ending(StopMode.GRACEFUL, f"pod {absent[0]} joins")
    return original[3](*arguments)


def early_commit(fence: Fence, attempt: Any, buffer: memoryview, state: bytes, **_: Any) -> Any:
    """The commit before what it names."""
    parts = (
        commit.CheckpointObject(layout.piece(0), len(buffer), commit._digest(buffer)),
        commit.CheckpointObject(layout.STATE, len(state), commit._digest(state)),
    )
    made = commit.Commit(attempt, "", parts, None)
    fence.check()
    fence.store.put(attempt.key(layout.COMMIT), made.dumps(), if_absent=True)
    fence.check()
    fence.store.put(attempt.key(parts[0].name), buffer)
    fence.store.put(attempt.key(layout.STATE), state)
    return made


def any_token(store: Any, number: int, lead: Any, extra: Any) -> bool:
    """Overwrites what others took."""
    fields = {"uid": lead.uid, "pod": lead.pod, "address": lead.address, "pods": dict(lead.pods)}
    token = {"gang": lead.gang, "generation": number, "coordinator": fields, **extra}
    store.put(layout.token(number), json.dumps(token).encode())
    return True


def lost_is_taken(store: Any, number: int, lead: Any, extra: Any) -> bool:
    """Another one's token counts as its own."""
    put(store, number, lead, extra)
    return True


put = tokens._put


def oldest_first(store: Any) -> dict[Any, Any]:
    return dict(sorted(original[4](store).items()))


@contextmanager
def eager_retention() -> Iterator[None]:
    with (
        mock.patch.object(retention.Retention, "_may_be_under_way", return_value=False),
        mock.patch.object(training, "ORPHAN_AGE", 0.0),
    ):
        yield


MUTANTS: dict[str, Mutant] = {
    "a writer does not look at the tokens": patched(Fence, "check", lambda self: None),
    "a token is overwritten": patched(tokens, "_put", any_token),
    "a token that another took counts as taken": patched(tokens, "_put", lost_is_taken),
    "a coordinator ignores the others' tokens": patched(tokens, "judge", lambda *_: None),
    "a generation forms without a token": patched(decisions, "review", without_token),
    "two generations share a token": patched(decisions, "review", same_token_again),
    "the leader holds the lowest step": patched(decisions, "leader", lowest_leader),
    "members form that were heard long ago": patched(decisions, "members_to_seat", stale_members),
    "a pod that cannot train is in a generation": patched(seats, "missing", healthy),
    "replaced supervisors are heard": patched(decisions, "record", record_all),
    "pods run generations without them": patched(decisions, "answer", run_anybody),
    "training stops for a pod that is not there": patched(decisions, "resize", grow_for_nobody),
    "any number of pods is enough": patched(Policy, "enough", lambda self, members, wanted: bool(members)),
    "a gang never shrinks": patched(Policy, "enough", lambda self, members, wanted: False),
    "nobody takes over": patched(contact, "is_overdue", lambda *_: False),
    "a coordinator that is alone looks for nobody": patched(contact, "is_in_vain", lambda *_, **__: False),
    "the commit is written first": patched(commit, "write", early_commit),
    "the oldest checkpoint is restored": patched(restore, "survey", oldest_first),
    "retention removes what is being written": eager_retention,
    "a supervisor that was replaced is not noticed": patched(decisions, "_loss", lambda *_: None),
}
