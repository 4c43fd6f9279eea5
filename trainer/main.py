"""The entry point: from the arguments of a command to its exit code. Errors that users can fix are one
line."""

import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

import typer

from trainer import interrupts
from trainer.cli.answers import print_error
from trainer.cli.app import app
from trainer.distribution import rank_variables
from trainer.errors import (
    EXIT_INTERRUPTED,
    EXIT_INVALID,
    ConfigError,
    TrainerError,
    explain_os_error,
)
from trainer.observability.log import print_message, setup

INTERRUPT = 128 + signal.SIGINT
BROKEN_PIPE = 128 + signal.SIGPIPE

USAGE_ERROR: Any = typer.BadParameter.__base__
"""The class of errors for invalid arguments; typer exports only this subclass of it."""


def main() -> NoReturn:
    """Runs the command of this process; see `run`."""
    for stream in (sys.stdout, sys.stderr):  # file names may not be valid text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        setup(rank=rank_variables.own_rank())
        code = run(sys.argv[1:])
    except ConfigError as error:
        code = _explain(error)
    interrupts.leave()
    _close_output()
    # The interpreter's usual end would restore the system's signal handlers, and Horovod may block it.
    os._exit(code)


def run(arguments: Sequence[str]) -> int:
    """Runs a command -> its exit code. Errors that users can fix are one line; see trainer/errors.py."""
    try:
        # In this mode typer returns the code of an early exit, such as for --version.
        returned = app([*arguments] or ["--help"], standalone_mode=False)
        code = returned if isinstance(returned, int) else 0
        if code == INTERRUPT and interrupts.exit_code() is None:  # typer's code for a KeyboardInterrupt
            _fail("interrupted", code)
        sys.stdout.flush()
    except typer.Exit as exit:
        code = exit.exit_code
    except SystemExit as exit:
        # typer exits like this if the output pipe is closed.
        closed = isinstance(exit.__context__, BrokenPipeError)
        code = _explain(exit.__context__) if closed and exit.__context__ else _code(exit)
    except BaseException as error:
        code = _explain(error)
    received = interrupts.exit_code()
    return code if received is None else received


def _close_output() -> None:
    """Flushes stdout and stderr; failures have been reported already."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()


def _code(exit: SystemExit) -> int:
    return exit.code if isinstance(exit.code, int) else 1


def _explain(error: BaseException) -> int:
    from trainer.storage.base import ObjectChanged

    if interrupts.exit_code() is not None:
        return 1  # interrupted code may fail in any way
    if isinstance(error, typer.Abort) and error.__cause__:
        error = error.__cause__  # typer replaces EOFError, which here means an object that ends too soon
    if isinstance(error, TrainerError):
        return _fail(str(error), error.exit_code)
    if isinstance(error, USAGE_ERROR):
        return _fail(str(_usage_problem(error)), EXIT_INVALID)
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return _fail("interrupted", INTERRUPT)
    if isinstance(error, BrokenPipeError):  # the output pipe is closed, as by `| head`
        return BROKEN_PIPE
    if isinstance(error, OSError):
        return _fail(str(explain_os_error(error)), explain_os_error(error).exit_code)
    if isinstance(error, ObjectChanged | EOFError):
        return _fail(str(error), EXIT_INVALID)
    if isinstance(error, MemoryError):
        remedy = "Raise the memory limit, or use smaller images"
        return _fail(str(TrainerError("out of memory", remedy)), EXIT_INTERRUPTED)
    # A bug: print the traceback.
    print_message("".join(traceback.format_exception(error)).rstrip(), logging.ERROR)
    return 1


def _usage_problem(error: Any) -> TrainerError:
    """The problem of a command line, and whose help says what is expected."""
    message = error.format_message()
    commands: list[str] = []
    context = error.ctx
    while context and context.parent:
        commands.insert(0, context.info_name)
        context = context.parent
    return TrainerError(message[:1].lower() + message[1:], f"See `{' '.join(['trainer', *commands])} --help`")


def _fail(message: str, code: int) -> int:
    print_error(message)
    return code
