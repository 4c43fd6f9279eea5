"""The stacks of a process's threads, on a signal."""

import faulthandler
import signal

STACKS = signal.SIGUSR1
"""On this signal a rank writes the stacks of all its threads to stderr, even while in native code."""


def print_stacks_on_signal() -> None:
    """Installs the handler. Without it the signal would end the process."""
    faulthandler.register(STACKS)
