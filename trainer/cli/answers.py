"""Results as JSON, an error, a hint at the next command, a confirmation."""

import logging
import sys
from typing import Any

import typer

from trainer.errors import ConfigError, shortened
from trainer.observability.log import print_message


def print_json(result: Any) -> None:
    import dataclasses
    import json

    def plain(value: Any) -> Any:
        return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else str(value)  # type: ignore[arg-type]

    typer.echo(json.dumps(result, indent=1, default=plain))


def print_error(message: str) -> None:
    """Prints an error in one line."""
    words = " ".join(map(shortened, message.split()))
    # Invalid text, as in a file name, is printed with escapes.
    text = words.encode(errors="backslashreplace").decode()
    print_message(text, logging.ERROR, prefix="trainer: error: ")


def print_next(command: str | None) -> None:
    """Prints the next command, where there is one; on stderr, since it is not a result."""
    if command:
        print_message(f"next: {command}")


def confirm(lines: list[str]) -> None:
    """Asks before what `lines` describe is deleted. Raises typer.Exit where the answer is no."""
    if not sys.stdin.isatty():
        raise ConfigError(
            "cannot ask for confirmation: stdin is not a terminal", "Pass --yes to delete without asking"
        )
    for line in lines:
        typer.echo(line, err=True)
    if not typer.confirm("Delete permanently?", err=True):
        typer.echo("nothing was deleted", err=True)
        raise typer.Exit
