"""The errors that a user can fix, each with its remedy and its exit code."""

import errno

EXIT_FINISHED = 0
EXIT_INVALID = 64
"""The configuration or the data is invalid, or another run has the folder; starting again changes nothing
(sysexits.h: EX_USAGE)."""
EXIT_INTERRUPTED = 75
"""Stopped on request or for a transient cause; started again, the run resumes (sysexits.h: EX_TEMPFAIL)."""
EXIT_LOST = 80
"""Between a rank and its supervisor only: the exchange broke, another rank is the cause."""


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


class TransientError(TrainerError):
    """Stopped for a transient cause; what is finished is kept."""

    exit_code = EXIT_INTERRUPTED


class RankLost(TransientError):
    """The exchange with the other ranks broke. Raised in ranks only."""

    exit_code = EXIT_LOST


def one_line(error: object) -> str:
    """The text of an error without line breaks; the name of its class where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def shortened(text: str) -> str:
    """A text, of a long one its beginning and its end."""
    return text if len(text) <= 200 else f"{text[:120]}…{text[-40:]}"


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_TRANSIENT = _FULL | {
    errno.EAGAIN,
    errno.EBUSY,
    errno.EINTR,
    errno.EIO,
    errno.EMFILE,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ESTALE,
    errno.ETXTBSY,
}
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_REMEDIES = {
    **dict.fromkeys(_FULL, "Free some space, or choose another place"),
    **dict.fromkeys(_REFUSED, "Choose a place that can be written, or change its rights"),
    **dict.fromkeys(
        (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.EINVAL),
        "Choose another place",
    ),
}


def explain_os_error(error: OSError) -> TrainerError:
    """The system's error as one line with the path, and 64, or 75 for what may pass, such as a full disk.

    An error that was raised from another one, with words of its own, keeps these.
    """
    causes = [error, error.__cause__, error.__context__]
    number = next((cause.errno for cause in causes if isinstance(cause, OSError) and cause.errno), None)
    passing = number in _TRANSIENT or isinstance(error, TimeoutError | ConnectionError)
    names = " -> ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    text = f"{names}: {error.strerror}" if names else error.strerror or str(error) or type(error).__name__
    return (TransientError if passing else ConfigError)(text, _REMEDIES.get(number or 0, ""))
