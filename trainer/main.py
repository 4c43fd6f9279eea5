"""From the arguments of a command to its exit code: every error that a user can fix is one line."""

import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

import typer

from trainer import interrupts
from trainer.cli.app import app
from trainer.errors import EXIT_INTERRUPTED, EXIT_INVALID, TrainerError, explain_os_error, shortened

INTERRUPT = 128 + signal.SIGINT
BROKEN_PIPE = 128 + signal.SIGPIPE

USAGE_ERROR: Any = typer.BadParameter.__base__
"""The error for invalid arguments, of which typer exports only this subclass."""


def main() -> NoReturn:
    """The process of a command; see `run`."""
    from trainer.observability.log import setup

    setup()
    for stream in (sys.stdout, sys.stderr):  # names of files may be no text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:])
    interrupts.leave()
    _close_output()
    # Not by the interpreter's usual end: there a signal kills with the system's own handler, and Horovod may
    # hold it up.
    os._exit(code)


def run(arguments: Sequence[str]) -> int:
    """One command -> its exit code. Every error that a user can fix is one line; see trainer/errors.py."""
    try:
        # In this mode typer returns the code of an early end, such as that of --version.
        returned = app([*arguments] or ["--help"], standalone_mode=False)
        code = returned if isinstance(returned, int) else 0
        if code == INTERRUPT and interrupts.exit_code() is None:  # a KeyboardInterrupt, to typer
            _fail("interrupted", code)
        sys.stdout.flush()
    except typer.Exit as exit:
        code = exit.exit_code
    except SystemExit as exit:
        # So typer ends where nobody reads the output any more.
        closed = isinstance(exit.__context__, BrokenPipeError)
        code = _explain(exit.__context__) if closed and exit.__context__ else _code(exit)
    except BaseException as error:
        code = _explain(error)
    return code if interrupts.exit_code() is None else interrupts.exit_code() or 0


def _close_output() -> None:
    """What could not be written is told already."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()


def _code(exit: SystemExit) -> int:
    return exit.code if isinstance(exit.code, int) else 1


def _explain(error: BaseException) -> int:
    from trainer.storage.base import ObjectChanged

    if interrupts.exit_code() is not None:
        return 1  # what was cut off may fail in any way
    if isinstance(error, typer.Abort) and error.__cause__:
        error = error.__cause__  # so typer raises EOFError, which for us is an object that ends too soon
    if isinstance(error, TrainerError):
        return _fail(str(error), error.exit_code)
    if isinstance(error, USAGE_ERROR):
        return _fail(str(TrainerError(error.format_message(), "See `trainer --help`")), EXIT_INVALID)
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return _fail("interrupted", INTERRUPT)
    if isinstance(error, BrokenPipeError):  # nobody reads the output any more, as of `| head`
        return BROKEN_PIPE
    if isinstance(error, OSError):
        return _fail(str(explain_os_error(error)), explain_os_error(error).exit_code)
    if isinstance(error, ObjectChanged | EOFError):
        return _fail(str(error), EXIT_INVALID)
    if isinstance(error, MemoryError):
        return _fail(str(TrainerError("out of memory", "Give it more, or smaller images")), EXIT_INTERRUPTED)
    # A fault of our own: the traceback, and out.
    traceback.print_exception(error)
    return 1


def _fail(message: str, code: int) -> int:
    words = " ".join(map(shortened, message.split()))
    # What is no text, as the name of a file may be, is shown in escapes.
    typer.echo(f"trainer: error: {words.encode(errors='backslashreplace').decode()}", err=True)
    return code
