"""What can go wrong for a person to mend, each with its remedy and its exit code."""

FINISHED = 0
WRONG = 64
"""The configuration or the data is wrong: starting again changes nothing (sysexits.h: EX_USAGE)."""
AGAIN = 75
"""Stopped on request or for a passing cause: started again, it goes on (sysexits.h: EX_TEMPFAIL)."""


class TrainerError(Exception):
    """One clear line for a person: what was expected, what came, and what to do.

    `exit_code` is what a command that raises it exits with.
    """

    exit_code = 1

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        end = "" if self.problem.endswith((".", "?", "!")) else "."
        return f"{self.problem}{end} {self.remedy}" if self.remedy else self.problem


class ConfigError(TrainerError):
    """The words of a command or of a run's configuration."""

    exit_code = WRONG


class DataError(TrainerError):
    """Images, labels, a dataset, or an object that is not what it says it is."""

    exit_code = WRONG


class RunError(TrainerError):
    """A run that cannot go on as asked, such as a used folder or a loss that is not a number."""

    exit_code = WRONG


class Interrupted(TrainerError):
    """Stopped for a passing cause; everything finished is kept."""

    exit_code = AGAIN
