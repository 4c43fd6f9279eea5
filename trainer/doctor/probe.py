"""A check in processes of its own, since native libraries may end the process that loads them."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.doctor.finding import CheckResult
from trainer.errors import TrainerError
from trainer.machine.sandbox import ProcessFailed, ProcessTimedOut, SandboxLimits, ask_each

MAX_SECONDS = 300.0
"""How long one check takes at most."""
MIN_SECONDS = 1.0


def run(module: str, environments: Sequence[Mapping[str, str]], deadline: float = math.inf) -> dict[str, Any]:
    """One process of `module` for each environment -> what the first prints, one line of JSON.

    Raises ProcessFailed where one of them fails, OutOfTime where they are not done at the `deadline` of the
    monotonic clock.
    """
    left = deadline - time.monotonic()
    limits = SandboxLimits(wall_seconds=min(MAX_SECONDS, max(MIN_SECONDS, left)))
    try:
        first, *_ = ask_each(module, environments, limits=limits)
    except ProcessTimedOut as error:
        raise (OutOfTime if left < MAX_SECONDS else ProcessFailed)(str(error)) from None
    except TrainerError as error:
        raise ProcessFailed(str(error)) from None
    result: dict[str, Any] = json.loads(first.splitlines()[-1])
    return result


class OutOfTime(Exception):
    """A check is not done in the time that all of them have."""


def unfinished(check: str) -> CheckResult:
    """The result of a check that was not done in time."""
    return CheckResult("warning", check, "not done in time", "trainer doctor --full waits for it")
