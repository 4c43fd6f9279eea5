"""Ctrl-C, SIGTERM and SIGHUP in a command: one line, an exit code, and nothing left behind.

A command ends at once, wherever it is, but for two kinds of places: one that has something to clean up
(`unwinding`), where an exception is raised, and one that is carried out to its end (`deferred`). An exception
alone would not do: raised while Python imports, in a destructor or in native code, it can get lost.

`trainer train` and the supervisor set handlers of their own once there is something to save.
"""

# `signal` itself imports enum: some milliseconds in which Python's own handler holds.
import _signal as signal  # type: ignore[import-not-found]
import os

RESUMABLE = ("prepare", "train", "supervise", "predict")
"""Commands whose work goes on when they are started again: they exit 75, as the charts' Jobs expect."""
EXIT_RESUMABLE = 75
CLEANUP_SECONDS = 8.0
"""For cleaning up, also where a store does not answer: less than the 10 s that docker gives."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SignalReceived(KeyboardInterrupt):
    """Raised in `unwinding` places. No `except Exception` catches it."""


class _State:
    def __init__(self) -> None:
        self.installed = self.resumable = False
        self.stderr = 2
        self.received = 0
        self.unwinding = self.deferred = 0


_state = _State()


def install(arguments: list[str]) -> None:
    """Handle the signals from now on, for the command with these arguments. Call it in the main thread.

    What is ignored stays ignored, as in a shell's background or under nohup.
    """
    command = next((word for word in arguments if not word.startswith("-")), "")
    _state.resumable = command in RESUMABLE and "--check" not in arguments
    _state.stderr = os.dup(2)  # also where the import of TensorFlow holds back what is written to 2
    _state.installed = True
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)


def exit_code() -> int | None:
    """The code to exit with; None while there was no signal."""
    if not _state.received:
        return None
    return EXIT_RESUMABLE if _state.resumable else 128 + _state.received


def leave() -> None:
    """Ends the process if a signal came: without waiting for threads that may hang."""
    code = exit_code()
    if code is not None:
        os._exit(code)


class unwinding:
    """A place that has something to clean up: a signal raises Interrupted there."""

    def __enter__(self) -> None:
        if _in_main_thread():
            _state.unwinding += 1

    def __exit__(self, *_: object) -> None:
        if _in_main_thread():
            _state.unwinding -= 1


class deferred:
    """A place that is carried out to its end, such as a commit: a signal takes effect behind it."""

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


def _handle(number: int, _: object) -> None:
    if _state.received:  # asked twice, or it took too long
        os._exit(exit_code() or 0)
    _state.received = number
    again = ". Start it again and it goes on" if _state.resumable else ""
    os.write(_state.stderr, f"trainer: error: interrupted{again}\n".encode())
    if not _state.deferred:
        _end()
    else:
        _limit()


def _end() -> None:
    if not _state.unwinding:
        os._exit(exit_code() or 0)
    _limit()
    raise SignalReceived


def _limit() -> None:
    signal.signal(signal.SIGALRM, _handle)
    signal.setitimer(signal.ITIMER_REAL, CLEANUP_SECONDS)
