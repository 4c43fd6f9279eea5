"""Errors that users can fix, each with a remedy and an exit code."""

import errno

EXIT_FINISHED = 0
EXIT_INVALID = 64
"""The configuration or the data is invalid, or another run has the folder; a restart does not help
(sysexits.h: EX_USAGE)."""
EXIT_INTERRUPTED = 75
"""Stopped on request or for a transient cause; a restart resumes the work (sysexits.h: EX_TEMPFAIL)."""
EXIT_LOST = 80
"""Only between a rank and its supervisor: the exchange broke because of another rank."""


class TrainerError(Exception):
    """A one-line message: what was expected, what was received, and what to do.

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
    """Invalid arguments of a command, or an invalid configuration."""

    exit_code = EXIT_INVALID


class DataError(TrainerError):
    """Invalid images, labels or datasets, or an invalid object in the store."""

    exit_code = EXIT_INVALID


class RunError(TrainerError):
    """A run that cannot start or continue, such as in a used folder, or with a loss that is not finite."""

    exit_code = EXIT_INVALID


class TransientError(TrainerError):
    """Stopped for a transient cause; finished work is kept."""

    exit_code = EXIT_INTERRUPTED


class RankLost(TransientError):
    """The exchange with the other ranks broke. Raised only in ranks."""

    exit_code = EXIT_LOST


def one_line(error: object) -> str:
    """The text of an error without line breaks; the name of its class if the text is empty."""
    return " ".join(str(error).split()) or type(error).__name__


def shortened(text: str) -> str:
    """The text, or the beginning and the end of a long one, in whole words."""
    if len(text) <= 200:
        return text
    first, last = text[:121], text[-41:]
    head = first.rpartition(" ")[0] or first[:-1]
    tail = last.partition(" ")[2] or last[1:]
    return f"{head}…{tail}"


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
    **dict.fromkeys(_FULL, "Free some space, or choose another location"),
    **dict.fromkeys(_REFUSED, "Choose a writable location, or change its permissions"),
    **dict.fromkeys(
        (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.EINVAL),
        "Choose another location",
    ),
}


def explain_os_error(error: OSError) -> TrainerError:
    """An error of the operating system as one line with the path, and 64, or 75 if it is transient, such as a
    full disk. Keeps the text of an error that was raised from another one."""
    causes = [error, error.__cause__, error.__context__]
    number = next((cause.errno for cause in causes if isinstance(cause, OSError) and cause.errno), None)
    transient = number in _TRANSIENT or isinstance(error, TimeoutError | ConnectionError)
    names = " -> ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    text = f"{names}: {error.strerror}" if names else error.strerror or str(error) or type(error).__name__
    return (TransientError if transient else ConfigError)(text, _REMEDIES.get(number or 0, ""))
