"""What the threads of a process do, on a signal."""

import faulthandler
import signal

STACKS = signal.SIGUSR1
"""On this signal a rank writes the stacks of all its threads to stderr, also from within native code."""


def print_stacks_on_signal() -> None:
    """From now on. Without it the signal would end the process."""
    faulthandler.register(STACKS)
