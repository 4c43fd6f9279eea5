"""What supervisors and their coordinator send each other, as JSON."""

import json
from dataclasses import asdict

from trainer.distribution.agreement import Agreement
from trainer.distribution.rank_status import Phase
from trainer.gang.members import (
    Answer,
    ExitPod,
    Generation,
    Member,
    MemberState,
    RefusePod,
    RunRanks,
    Seat,
    StopMode,
    StopRanks,
)
from trainer.gang.ranks.stall import RankProgress

REPORT = "/report"
"""The path to which a supervisor POSTs its report."""
MAX_NUMBER = 1 << 31
MAX_NAME_LENGTH = 64


def encode_member(member: Member) -> bytes:
    return json.dumps(asdict(member)).encode()


def decode_member(data: bytes) -> Member:
    """The member of `encode_member`. Raises ValueError, TypeError or KeyError for any other data."""
    values = dict(json.loads(data))
    progress = tuple(
        RankProgress(**{**rank, "phase": Phase(rank["phase"])}) for rank in values.pop("progress", ())
    )
    member = Member(**{**values, "state": MemberState(values["state"]), "progress": progress})
    numbers = [member.index, member.ranks, member.number, member.exit_code or 0]
    numbers += [number for rank in progress for number in (rank.rank, rank.step)]
    if not all(isinstance(number, int) and abs(number) < MAX_NUMBER for number in numbers):
        raise ValueError(f"expected whole numbers, received {numbers}")
    if (
        member.index < 0
        or member.ranks < 1
        or not all(
            isinstance(seconds, int | float) for rank in progress for seconds in (rank.idle, rank.longest)
        )
        or not all(
            isinstance(name, str) and len(name) <= MAX_NAME_LENGTH
            for name in (member.uid, member.generation, member.agreement)
        )
    ):
        raise ValueError(f"expected a pod's report, received {values}")
    return member


def encode_answer(answer: Answer, port: int) -> bytes:
    if isinstance(answer, RunRanks):
        generation = answer.generation
        values = {"id": generation.id, "number": generation.number, "seats": generation.runs}
        return json.dumps({"kind": type(answer).__name__, "port": port, "generation": values}).encode()
    values = asdict(answer)
    if isinstance(answer, StopRanks):
        values["how"] = values.pop("mode")
    return json.dumps({"kind": type(answer).__name__, "port": port, **values}).encode()


def decode_answer(data: bytes) -> tuple[Answer, int]:
    """The answer and the port of `encode_answer`; seats have no uids, which only the coordinator compares.

    Raises ValueError, TypeError or KeyError for any other data.
    """
    values = json.loads(data)
    kind, port = values.pop("kind"), int(values.pop("port"))
    if kind == RunRanks.__name__:
        generation = values["generation"]
        ranks = [int(ranks) for count, ranks in generation["seats"] for _ in range(count)]
        seats = tuple(Seat(index, "", number) for index, number in enumerate(ranks))
        return RunRanks(Generation(generation["id"], generation["number"], seats)), port
    if kind == ExitPod.__name__:
        return ExitPod(**values), port
    if kind == RefusePod.__name__:
        return RefusePod(Agreement(**values["agreement"])), port
    return StopRanks(StopMode(values["how"]), values["reason"], tuple(values["late"])), port
