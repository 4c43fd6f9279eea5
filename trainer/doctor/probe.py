"""A check in processes of its own, since native libraries may end the process that loads them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.errors import TrainerError
from trainer.machine.sandbox import ProcessFailed, SandboxLimits, ask_each

PROBE_LIMITS = SandboxLimits(wall_seconds=300)


def run(module: str, environments: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """One process of `module` for each environment -> what the first prints, one line of JSON.

    Raises ProcessFailed where one of them fails, or is not done in the time of PROBE_LIMITS.
    """
    try:
        first, *_ = ask_each(module, environments, limits=PROBE_LIMITS)
    except TrainerError as error:
        raise ProcessFailed(str(error)) from None
    result: dict[str, Any] = json.loads(first.splitlines()[-1])
    return result
