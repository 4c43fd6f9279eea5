"""The option --log-format, which every command has."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from trainer.distribution import rank_variables
from trainer.observability.log import LOG_FORMAT_OPTION, LogFormat, setup


def _choose(form: LogFormat | None) -> LogFormat | None:
    if form:
        setup(form, rank=rank_variables.own_rank())
    return form


_Format = Annotated[
    LogFormat | None,
    typer.Option(
        LOG_FORMAT_OPTION,
        callback=_choose,
        is_eager=True,
        help="Form of the log: text, or json, an object a line. Default: TRAINER_LOG_FORMAT, or text.",
    ),
]


def with_log_format(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the option, whose callback sets up the log."""
    option = inspect.Parameter("log_format", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_Format)
    signature = inspect.signature(command)

    @functools.wraps(command)
    def run(*, log_format: LogFormat | None = None, **arguments: Any) -> None:
        del log_format
        command(**arguments)

    parameters = [*signature.parameters.values(), option]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {**command.__annotations__, "log_format": _Format}
    return run
