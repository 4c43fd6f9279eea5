"""`trainer doctor`: checks of this machine and of a store."""

from trainer.doctor import devices, exchange, installed, store_checks
from trainer.doctor.finding import CheckResult, to_fix

__all__ = ["CheckResult", "examine", "to_fix"]


def examine(url: str | None, *, timed: bool = True) -> list[CheckResult]:
    """Checks this machine and, if given, the store at `url`.

    `timed`: also the slow checks, if the others found no error: TensorFlow's devices, a convolution, an
    exchange between ranks, the speed of the store.
    """
    results = [*installed.examine(), *(store_checks.examine(url) if url is not None else ())]
    if timed and not any(result.mark == "error" for result in results):
        results += [
            *devices.examine(),
            *exchange.examine(),
            *(store_checks.speed(url) if url is not None else ()),
        ]
    return results
