"""`trainer doctor`: checks of this machine and of a store."""

import math
import time

from trainer.doctor import devices, exchange, installed, store_checks
from trainer.doctor.finding import CheckResult, to_fix

__all__ = ["SECONDS", "CheckResult", "examine", "to_fix"]

SECONDS = 18.0
"""How long all checks take at most, unless they are to be full; the command takes 20 s with its own start and
the end of processes that were not done."""


def examine(url: str | None, *, timed: bool = True, full: bool = False) -> list[CheckResult]:
    """Checks this machine and, if given, the store at `url`.

    `timed`: also the slow checks, if the others found no error: TensorFlow's devices, a convolution, an
    exchange between ranks, the speed of the store. All of them end after about SECONDS; with `full` each
    takes the time that it needs.
    """
    deadline = math.inf if full else time.monotonic() + SECONDS
    results = [*installed.examine(), *(store_checks.examine(url, deadline) if url is not None else ())]
    if timed and not any(result.mark == "error" for result in results):
        if url is not None:
            results += store_checks.speed(url, deadline)
        results += [*devices.examine(deadline), *exchange.examine(deadline)]
    return results
