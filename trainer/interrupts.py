"""Ctrl-C, SIGTERM and SIGHUP in a command: one line, an exit code, and nothing left behind.

A command ends at once, except in two kinds of blocks: one that has to clean up (`unwinding`), where an
exception is raised, and one that has to complete (`deferred`). An exception everywhere would not be enough:
raised while Python imports, in a destructor or in native code, it can get lost.

Python runs a handler when the main thread leaves native code, where TensorFlow may keep it for long. So a
thread reads the numbers of signals as they arrive, and acts where the handler does not (`heard`).

`trainer train` and the supervisor install their own handlers as soon as there is something to save.
"""

# `signal` imports enum, which takes some milliseconds in which Python's own handler is active.
import _signal as signal  # type: ignore[import-not-found]
import _thread
import os
import time
from collections.abc import Callable

from trainer.errors import EXIT_INTERRUPTED

RESUMABLE = ("prepare", "train", "supervise", "predict")
"""Commands that resume when they are restarted: they exit 75, as the charts' Jobs expect."""
CLEANUP_SECONDS = 8.0
"""The limit for cleaning up, also if a store does not respond: less than the 10 s that docker waits."""

HANDLER_SECONDS = 0.1
"""How long a handler may take until the thread acts in its place."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SignalReceived(KeyboardInterrupt):
    """Raised in `unwinding` blocks. `except Exception` does not catch it."""


class _State:
    def __init__(self) -> None:
        self.installed = self.resumable = False
        self.stderr = 2
        self.line: Callable[[str], str] = "trainer: error: {}".format
        self.announced = _thread.allocate_lock()
        self.received = self.arrived = 0
        self.handled = False
        self.unwinding = self.deferred = 0


_state = _State()


def install(arguments: list[str]) -> None:
    """Installs the handlers for the command with these arguments. Call it in the main thread.

    Ignored signals stay ignored, as in a shell's background or under nohup.
    """
    command = next((word for word in arguments if not word.startswith("-")), "")
    _state.resumable = command in RESUMABLE and "--check" not in arguments
    _state.stderr = os.dup(2)  # the import of TensorFlow holds back what is written to 2
    _state.installed = True
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)
    heard(_heard).__enter__()


def installed() -> bool:
    """Whether this process is a command, which signals end."""
    return _state.installed


def print_lines_with(line: Callable[[str], str]) -> None:
    """Sets the form in which an interruption is printed: from its message to a line."""
    _state.line = line


class heard:
    """A block in which each signal is passed to `listener` at once, by its number, in a thread. Enter it in
    the main thread."""

    def __init__(self, listener: Callable[[int], None]) -> None:
        self._listener = listener

    def __enter__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._previous = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        _thread.start_new_thread(self._run, ())

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._previous)
        os.close(self._write)

    def _run(self) -> None:
        while number := os.read(self._read, 1):
            _thread.start_new_thread(self._listener, (number[0],))
        os.close(self._read)


def exit_code() -> int | None:
    """The exit code after a signal; None if there was no signal."""
    if not _state.received:
        return None
    return EXIT_INTERRUPTED if _state.resumable else 128 + _state.received


def leave() -> None:
    """Ends the process if there was a signal, without waiting for threads, which may hang."""
    code = exit_code()
    if code is not None:
        os._exit(code)


class unwinding:
    """A block that has to clean up: a signal raises SignalReceived there."""

    def __enter__(self) -> None:
        if _in_main_thread():
            _state.unwinding += 1

    def __exit__(self, *_: object) -> None:
        if _in_main_thread():
            _state.unwinding -= 1


class deferred:
    """A block that has to complete, such as a commit: a signal takes effect after it."""

    def __enter__(self) -> None:
        if _in_main_thread():
            _state.deferred += 1

    def __exit__(self, *_: object) -> None:
        if _in_main_thread():
            _state.deferred -= 1
            if _state.received and not _state.deferred:
                _end()


def _in_main_thread() -> bool:
    import threading

    return _state.installed and threading.current_thread() is threading.main_thread()


def end_at_once(number: int) -> None:
    """Ends the process after a signal, from any thread; a `deferred` block of the main thread completes."""
    _announce(number)
    if not _state.deferred:
        os._exit(exit_code() or 0)


def _handle(number: int, _: object) -> None:
    if _state.handled:  # a second signal, or the time is up
        os._exit(exit_code() or 0)
    _state.handled = True
    _announce(number)
    if not _state.deferred:
        _end()
    else:
        _limit()


def _heard(number: int) -> None:
    """Acts in place of the handler, where the main thread does not call it in time."""
    if number not in SIGNALS or signal.getsignal(number) is not _handle:
        return
    _state.arrived += 1
    again = _state.arrived > 1
    time.sleep(HANDLER_SECONDS)
    if _state.handled:
        return
    _announce(number)
    cleans_up = (_state.unwinding or _state.deferred) and not again
    time.sleep(CLEANUP_SECONDS if cleans_up else 0)
    if not _state.handled:
        os._exit(exit_code() or 0)


def _announce(number: int) -> None:
    """Prints that the command was interrupted, once."""
    if not _state.announced.acquire(False):
        return
    _state.received = number
    remedy = ". Restart it to resume" if _state.resumable else ""
    os.write(_state.stderr, f"{_state.line(f'interrupted{remedy}')}\n".encode())


def _end() -> None:
    if not _state.unwinding:
        os._exit(exit_code() or 0)
    _limit()
    raise SignalReceived


def _limit() -> None:
    signal.signal(signal.SIGALRM, _handle)
    signal.setitimer(signal.ITIMER_REAL, CLEANUP_SECONDS)
