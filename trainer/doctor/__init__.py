"""`trainer doctor`: does this machine have what a run needs, and does a store do what we ask of it?"""

from trainer.doctor import devices, exchange, installed, store_checks
from trainer.doctor.finding import CheckResult, to_fix

__all__ = ["CheckResult", "examine", "to_fix"]


def examine(url: str | None, *, timed: bool = True) -> list[CheckResult]:
    """What was found out about this machine and, where given, the store at `url`.

    `timed`: also what takes seconds, where nothing is missing before: TensorFlow's devices, a convolution, an
    exchange between ranks, the speed of the store.
    """
    found = [*installed.examine(), *(store_checks.examine(url) if url is not None else ())]
    if timed and not any(finding.mark == "error" for finding in found):
        found += [
            *devices.examine(),
            *exchange.examine(),
            *(store_checks.speed(url) if url is not None else ()),
        ]
    return found
