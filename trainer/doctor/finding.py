"""What a check found, and what to do about it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Attributes:
        mark: ok, warning or error.
        what: was checked.
        found: the result.
        remedy: what to do; empty where there is nothing to do, or nothing known.
    """

    mark: str
    what: str
    found: str
    remedy: str = ""


def to_fix(findings: list[CheckResult]) -> list[CheckResult]:
    """What has a remedy, the errors first."""
    return [f for mark in ("error", "warning") for f in findings if f.mark == mark and f.remedy]
