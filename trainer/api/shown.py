"""Log lines and progress of a function, on a terminal, in a notebook or in a file."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trainer import interrupts
from trainer.observability.log import LinesAboveTheBar, say
from trainer.output.progress import bars
from trainer.output.progress import progress as progress_of

ProgressCallback = Callable[[int, int], None]
Progress = bool | ProgressCallback
"""True: a bar on a terminal and in a notebook, and lines elsewhere. False: nothing but warnings. A function
is called with what is done and the total."""


@contextmanager
def log_lines(*, info: bool = True) -> Iterator[None]:
    """Shows the trainer's log within the block, where the program has set up no logging of its own.

    `info`: also bars, and lines that are not warnings.
    """
    with bars(info), _handled(info=info):
        yield


@contextmanager
def _handled(*, info: bool) -> Iterator[None]:
    if logging.getLogger().handlers:
        yield
        return
    log = logging.getLogger("trainer")
    handler, level = LinesAboveTheBar(), log.level
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log.addHandler(handler)
    log.setLevel(logging.INFO if info else logging.WARNING)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


@contextmanager
def shown(progress: Progress, unit: str) -> Iterator[ProgressCallback]:
    """The log, and a function of what is done and the total, which shows it as `progress` asks."""
    with log_lines(info=progress is not False), interrupts.unwinding():
        if progress is True:
            with progress_of(say, unit) as report:
                yield report
        else:
            yield progress or _nothing


def _nothing(done: int, total: int) -> None:
    """Shows nothing."""
