"""The run's tokens as coordinators take them: one for each generation. The newest says who coordinates."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from trainer.errors import TransientError
from trainer.runs import layout
from trainer.runs.claim import first_generation
from trainer.runs.fence import MAX_TOKEN_ATTEMPTS, newest_holder
from trainer.storage import Store


@dataclass(frozen=True)
class Lead:
    """Who coordinates a gang.

    Attributes:
        gang: who runs the run, over restarts; see `trainer.runs.fence`.
        uid: of the coordinator's supervisor; "" if a process without a coordinator took the token.
        pod: the coordinator's pod; -1 if a process without a coordinator took the token.
        address: where it answers, `host:port`; "" if the store has no conditional writes: then pod 0 does.
        pods: where the supervisors of the generation's pods answer.
        number: the token's number.
        step: the highest step that a rank had finished; -1 before the first.
        failures: generations in a row that had failed without a higher step.
    """

    gang: str
    uid: str = ""
    pod: int = -1
    address: str = ""
    pods: Mapping[int, str] = field(default_factory=dict)
    number: int = 0
    step: int = -1
    failures: int = 0


@dataclass(frozen=True)
class Taken:
    """The token is ours."""

    number: int


@dataclass(frozen=True)
class Deposed:
    """Another coordinator of this gang has taken a token: it coordinates."""

    lead: Lead


@dataclass(frozen=True)
class TakenByAnother:
    """Another gang writes this run now."""

    lead: Lead


def read_lead(store: Store) -> Lead | None:
    """Who took the newest token; None if there is none. Raises the store's errors."""
    newest = newest_holder(store)
    if newest is None:
        return None
    number, holder = newest
    lead = holder.get("coordinator")
    gang = str(holder.get("gang", ""))
    if not isinstance(lead, dict):
        return Lead(gang, number=number)
    pods = {int(index): str(address) for index, address in lead["pods"].items()}
    counts = int(lead.get("step", -1)), int(lead.get("failures", 0))
    return Lead(gang, str(lead["uid"]), int(lead["pod"]), str(lead["address"]), pods, number, *counts)


def take_token(
    store: Store, lead: Lead, seen: Lead | None, extra: Mapping[str, Any]
) -> Taken | Deposed | TakenByAnother:
    """Takes the token above `seen` for `lead`, if nobody else has.

    Args:
        seen: the newest token that this coordinator knows.
        extra: a unique name, and what else the token says.

    Raises TransientError if others were faster a hundred times in a row, else only the store's errors.
    """
    number = seen.number if seen else first_generation(store)
    for _ in range(MAX_TOKEN_ATTEMPTS):
        number += 1
        if _put(store, number, lead, extra):
            return Taken(number)
        newest = read_lead(store)
        if newest is None:
            continue
        if verdict := judge(newest, lead, seen):
            return verdict
        number = max(number, newest.number)
    raise TransientError(f"{store.url}: other processes took {MAX_TOKEN_ATTEMPTS} tokens in a row")


def judge(newest: Lead, mine: Lead, seen: Lead | None) -> Deposed | TakenByAnother | None:
    """What a token above `seen` means for the coordinator that `mine` describes; None if it may go above it.

    A gang that starts supersedes another one. Once its own tokens are in the folder, another gang's token
    ends it. An older supervisor of the coordinator's own pod has ended, and its token may have come late.
    """
    if newest.gang != mine.gang:
        return TakenByAnother(newest) if seen and seen.gang == mine.gang else None
    return None if newest.pod in (-1, mine.pod) else Deposed(newest)


def _put(store: Store, number: int, lead: Lead, extra: Mapping[str, Any]) -> bool:
    """Whether this wrote the token: also if an earlier attempt did, whose answer was lost."""
    fields = asdict(lead)
    coordinator = {key: fields[key] for key in ("uid", "pod", "address", "pods", "step", "failures")}
    token = {"gang": lead.gang, "generation": number, "coordinator": coordinator, **extra}
    data = json.dumps(token, indent=1).encode()
    with suppress(FileExistsError):
        store.put(layout.token(number), data, if_absent=True)
    try:
        return store.get(layout.token(number)) == data
    except FileNotFoundError:
        return False
