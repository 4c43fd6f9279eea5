"""Errors of the store that are final at a run's start (64) and transient in the middle of it (75)."""

import contextlib
from collections.abc import Iterator

from trainer.errors import TransientError, explain_os_error, one_line, shortened


@contextlib.contextmanager
def transient_errors() -> Iterator[None]:
    """Turns the errors of a store that refuses, does not respond or is full into TransientError."""
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        message = shortened(one_line(error))
        remedy = explain_os_error(error).remedy or "Repair it"
        raise TransientError(
            f"the store failed in the middle of the run: {message}",
            f"{remedy}, then start the run again: it resumes from the last checkpoint",
        ) from error
