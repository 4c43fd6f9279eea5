"""Causes that pass: what is 64 at a run's start is 75 in the middle of it."""

import contextlib
from collections.abc import Iterator

from trainer.errors import Interrupted


@contextlib.contextmanager
def passing_causes() -> Iterator[None]:
    """In the middle of a run, a store that refuses or is silent is no fault of the configuration."""
    try:
        yield
    except (PermissionError, TimeoutError) as error:
        raise Interrupted(
            f"the store failed in the middle of the run: {error}",
            "Mend it, then start the run again: it goes on at the last checkpoint",
        ) from error
