"""The user's own code: networks and callbacks that a configuration names `package.module:name`."""

import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, cast

from trainer.errors import ConfigError, TrainerError, shortened

REMEDY = (
    "Start the command in the folder of its file; in a cluster, mount the package into the image and name "
    "its folder in PYTHONPATH, or build an image with it"
)


def find(name: str, key: str) -> Callable[..., Any]:
    """What is named `package.module:name`; `key` is the configuration's, for errors.

    The package is one that is installed, in PYTHONPATH, or in the current folder, in which the ranks of this
    machine also start. Raises ConfigError where there is none.
    """
    module, _, function = name.partition(":")
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.append(os.getcwd())
    with explained(name, f"{key}: {module} cannot be imported:", REMEDY), redirect_stdout(sys.stderr):
        found = getattr(importlib.import_module(module), function, None)
    if not callable(found):
        raise ConfigError(f"{key}: {module} has no function {function!r}", "Specify another")
    return cast(Callable[..., Any], found)


@contextmanager
def explained(name: str, problem: str, remedy: str) -> Iterator[None]:
    """What the user's code raises, or its call of `sys.exit`, as a ConfigError with its place."""
    try:
        yield
    except TrainerError:
        raise
    except (Exception, SystemExit) as error:
        text = re.sub(r"\x1b\[\d*m", "", str(error)).partition("Arguments received by")[0]
        message = f"{type(error).__name__}: {shortened(' '.join(text.split()))}".removesuffix(": ")
        raise ConfigError(f"{problem} {message}{_location(name, error)}", remedy) from error


def _location(name: str, error: BaseException) -> str:
    """Where in the user's package it was raised: ` (file:line)`."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}:{error.lineno})"
    package = name.partition(":")[0].partition(".")[0]
    lines = [
        f" ({frame.f_code.co_filename}:{line})"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] == package
    ]
    return lines[-1] if lines else ""
