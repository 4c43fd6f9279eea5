"""What every command prints first, before the imports and the first request, which may take seconds."""

import functools
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from trainer.distribution import rank_variables
from trainer.errors import shortened
from trainer.machine.processes import LOCAL_WORKER
from trainer.observability.log import LogFormat, print_message, say, setup

LONG = {
    "prepare": "reading {source}",
    "index": "reading {url}",
    "train": "reading the configuration",
    "supervise": "reading the configuration",
    "evaluate": "opening {run}",
    "predict": "opening the network",
}
"""Commands that may work for minutes. Their log begins with this line, wherever it goes."""

SHORT = {
    "inspect": "reading {url}",
    "report": "reading {run}",
    "compare": "reading the runs",
    "recipes": "reading the recipes",
    "weights": "opening {run}",
    "runs": "reading {prefix}",
    "verify": "reading {run}",
    "status": "asking the cluster",
    "logs": "asking the cluster for {release}",
    "wait": "asking the cluster for {release}",
    "doctor": "checking this machine",
}
"""Commands that answer soon, mostly. On a terminal they print this line; scripts get their answer alone."""


def _choose(form: LogFormat | None) -> LogFormat | None:
    if form:
        setup(form)
    return form


_Format = Annotated[
    LogFormat | None,
    typer.Option(
        "--log-format",
        callback=_choose,
        is_eager=True,
        help="Form of the log: text, or json, an object a line. Default: TRAINER_LOG_FORMAT, or text.",
    ),
]


def announced(command: Callable[..., None]) -> Callable[..., None]:
    """The command with its first line before it, and the option --log-format, which decides how it looks."""
    name = command.__name__
    option = inspect.Parameter("log_format", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_Format)
    signature = inspect.signature(command)

    @functools.wraps(command)
    def run(*, log_format: LogFormat | None = None, **arguments: Any) -> None:
        del log_format  # its callback has set it
        first_line(name, arguments)
        command(**arguments)

    parameters = [*signature.parameters.values(), option]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {**command.__annotations__, "log_format": _Format}
    return run


def first_line(name: str, arguments: Mapping[str, Any]) -> None:
    """Prints the first line of a command; nothing in a rank or worker, whose parent has."""
    if rank_variables.is_supervised() or LOCAL_WORKER in os.environ:
        return
    if name in LONG:
        say(_text(LONG[name], arguments))
    elif sys.stderr.isatty():
        print_message(_text(SHORT[name], arguments))


def _text(form: str, arguments: Mapping[str, Any]) -> str:
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in form.format_map(arguments))
    return " ".join(map(shortened, text.split()))
