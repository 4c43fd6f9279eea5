"""What `trainer doctor` prints."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from trainer.output.table import print_table

if TYPE_CHECKING:
    from trainer.doctor.finding import CheckResult


def print_checks(checks: "Iterable[CheckResult]") -> None:
    """Prints the checks, then what to fix, in order."""
    from trainer.doctor import to_fix

    checks = list(checks)
    print_table(("check", "result", "found"), [(c.what, c.mark, c.found) for c in checks])
    for number, check in enumerate(to_fix(checks), 1):
        print(f"{number}. {check.what}: {check.remedy}")
