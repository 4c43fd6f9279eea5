"""What supervisors and their coordinator send each other, as JSON."""

import json
from dataclasses import asdict
from typing import Any

from trainer.distribution.agreement import Agreement
from trainer.distribution.rank_status import Phase
from trainer.gang.members import (
    Answer,
    ExitPod,
    Generation,
    Held,
    Leader,
    Member,
    MemberState,
    Redirect,
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
MAX_NODE_NAME_LENGTH = 253
"""Kubernetes's limit."""
MAX_TEXT_LENGTH = 200


def encode_member(member: Member) -> bytes:
    return json.dumps(asdict(member)).encode()


def decode_member(data: bytes) -> Member:
    """The member of `encode_member`. Raises ValueError, TypeError or KeyError for any other data."""
    values = dict(json.loads(data))
    progress = tuple(
        RankProgress(**{**rank, "phase": Phase(rank["phase"])}) for rank in values.pop("progress", ())
    )
    held = tuple(Held(**rank) for rank in values.pop("held", ()))
    member = Member(**{**values, "state": MemberState(values["state"]), "progress": progress, "held": held})
    numbers = [member.index, member.ranks, member.number, member.exit_code or 0, member.port]
    numbers += [number for rank in progress for number in (rank.rank, rank.step, rank.rows)]
    numbers += [number for rank in held for number in (rank.local, rank.step)]
    if not all(isinstance(number, int) and abs(number) < MAX_NUMBER for number in numbers):
        raise ValueError(f"expected whole numbers, received {numbers}")
    if (
        member.index < 0
        or member.ranks < 1
        or not 0 <= member.port < 1 << 16
        or not all(0 <= rank.local < member.ranks for rank in held)
        or not all(
            isinstance(seconds, int | float)
            for rank in progress
            for seconds in (rank.idle, rank.longest, rank.work)
        )
        or not all(
            isinstance(name, str) and len(name) <= MAX_NAME_LENGTH
            for name in (member.uid, member.generation, member.agreement)
        )
        or not (isinstance(member.node, str) and len(member.node) <= MAX_NODE_NAME_LENGTH)
        or not (isinstance(member.problem, str) and len(member.problem) <= MAX_TEXT_LENGTH)
    ):
        raise ValueError(f"expected a pod's report, received {values}")
    return member


def encode_answer(answer: Answer, port: int) -> bytes:
    if isinstance(answer, RunRanks):
        generation = answer.generation
        leader = generation.leader
        values: dict[str, object] = {
            "generation": {
                "id": generation.id,
                "number": generation.number,
                "seats": generation.runs,
                "token": generation.token,
                "leader": [leader.rank, leader.step] if leader else None,
            },
            **({"slow": answer.slow} if answer.slow else {}),
        }
    else:
        values = asdict(answer)
    if isinstance(answer, ExitPod) and not answer.reason:
        del values["reason"]
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
        slow = tuple(int(rank) for rank in values.get("slow", ()))
        return RunRanks(_decode_generation(values["generation"]), slow), port
    if kind == ExitPod.__name__:
        return ExitPod(**values), port
    if kind == RefusePod.__name__:
        return RefusePod(Agreement(**values["agreement"])), port
    if kind == Redirect.__name__:
        return Redirect(str(values["address"])), port
    return StopRanks(StopMode(values["how"]), values["reason"], tuple(values["late"])), port


def _decode_generation(values: dict[str, Any]) -> Generation:
    seats = tuple(
        Seat(int(index), "", int(ranks))
        for first, count, ranks in values["seats"]
        for index in range(first, first + count)
    )
    leader = Leader(*map(int, values["leader"])) if values["leader"] else None
    return Generation(values["id"], values["number"], seats, int(values["token"]), leader)
