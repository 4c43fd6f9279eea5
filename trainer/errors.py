"""The errors that a user can fix, each with its remedy and its exit code."""

EXIT_FINISHED = 0
EXIT_INVALID = 64
"""The configuration or the data is invalid; starting again changes nothing (sysexits.h: EX_USAGE)."""
EXIT_INTERRUPTED = 75
"""Stopped on request or for a transient cause; started again, the run resumes (sysexits.h: EX_TEMPFAIL)."""


class TrainerError(Exception):
    """One clear line: what was expected, what was received, and what to do.

    `exit_code` is the exit code of a command that raises it.
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
    """The arguments of a command, or a run's configuration."""

    exit_code = EXIT_INVALID


class DataError(TrainerError):
    """Images, labels, a dataset, or an object that is not what it should be."""

    exit_code = EXIT_INVALID


class RunError(TrainerError):
    """A run that cannot be continued as asked, such as a used folder or a loss that is not finite."""

    exit_code = EXIT_INVALID


class Interrupted(TrainerError):
    """Stopped for a transient cause; what is finished is kept."""

    exit_code = EXIT_INTERRUPTED
