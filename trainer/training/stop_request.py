"""Ctrl-C and SIGTERM in a training: it stops after a step, and says so at once."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from trainer import interrupts
from trainer.distribution.rank_variables import is_supervised
from trainer.errors import TransientError

log = logging.getLogger(__name__)

STOPPING = "stopping after this step"
AGAIN = f"{STOPPING}; press Ctrl-C again to stop at once"


@contextmanager
def stop_request() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set within the block. A second SIGINT has its usual effect: it ends a
    command, and raises KeyboardInterrupt in a script or a notebook, where a stop after the first one raises
    it too.

    Both are noticed while the main thread is inside a step. In another thread than the main one, signals are
    left to their owner.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    interruptions = 0

    def heard(number: int) -> None:
        """Runs in a thread, as the signal arrives."""
        nonlocal interruptions
        if number not in previous:
            return
        interruptions += number == signal.SIGINT
        if number == signal.SIGINT and interruptions > 1:
            if interrupts.installed():
                interrupts.end_at_once(number)
            return
        if not (stop.is_set() or is_supervised()):  # the supervisor says it for all ranks
            log.info(AGAIN if number == signal.SIGINT else f"SIGTERM: {STOPPING}")
        stop.set()

    def handler(number: int, _: object) -> None:
        """Runs in the main thread, when it is between two instructions of Python: later than `heard`."""
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, previous[signal.SIGINT])
            if interruptions > 1:
                raise KeyboardInterrupt

    with interrupts.heard(heard):
        for number in previous:
            signal.signal(number, handler)
        try:
            yield stop
        except TransientError as error:
            if interruptions and not interrupts.installed():
                raise KeyboardInterrupt(str(error)) from None
            raise
        finally:
            for number, before in previous.items():
                signal.signal(number, before)
