"""What `trainer doctor` prints."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from trainer.output.table import print_table

if TYPE_CHECKING:
    from trainer.doctor.finding import CheckResult


def print_checks(found: "Iterable[CheckResult]") -> None:
    """What `trainer doctor` found out."""
    from trainer.doctor import to_fix

    found = list(found)
    print_table(("check", "result", "found"), [(f.what, f.mark, f.found) for f in found])
    for number, finding in enumerate(to_fix(found), 1):
        print(f"{number}. {finding.what}: {finding.remedy}")
