"""The result of a check, and what to do about it."""

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


def to_fix(results: list[CheckResult]) -> list[CheckResult]:
    """The results with a remedy, errors first."""
    return [r for mark in ("error", "warning") for r in results if r.mark == mark and r.remedy]
