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
    StopRanks,
)
from trainer.gang.ranks.stall import RankProgress

REPORT = "/report"
"""Where a supervisor POSTs its report."""


MAX_NUMBER = 1 << 31


MAX_NAME_LENGTH = 64


def encode_member(member: Member) -> bytes:
    return json.dumps(asdict(member)).encode()


def decode_member(data: bytes) -> Member:
    """Raises ValueError, TypeError or KeyError for anything else than `encode_member` makes."""
    values = dict(json.loads(data))
    rows = tuple(RankProgress(**{**row, "phase": Phase(row["phase"])}) for row in values.pop("progress", ()))
    member = Member(**{**values, "state": MemberState(values["state"]), "progress": rows})
    numbers = [member.index, member.ranks, member.number, member.exit_code or 0]
    numbers += [number for row in rows for number in (row.rank, row.step)]
    if not all(isinstance(number, int) and abs(number) < MAX_NUMBER for number in numbers):
        raise ValueError(f"expected whole numbers, received {numbers}")
    if (
        member.index < 0
        or member.ranks < 1
        or not all(isinstance(seconds, int | float) for row in rows for seconds in (row.idle, row.longest))
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
    return json.dumps({"kind": type(answer).__name__, "port": port, **asdict(answer)}).encode()


def decode_answer(data: bytes) -> tuple[Answer, int]:
    """A generation's seats come without the uids, which the coordinator alone compares.

    Raises ValueError, TypeError or KeyError for anything else than `encode_answer` makes.
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
    return StopRanks(**{**values, "late": tuple(values["late"])}), port
