"""How commands answer: JSON, the next command, a question."""

import sys
from typing import Any

import typer

from trainer.errors import ConfigError


def print_json(result: Any) -> None:
    import dataclasses
    import json

    def plain(value: Any) -> Any:
        return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else str(value)  # type: ignore[arg-type]

    typer.echo(json.dumps(result, indent=1, default=plain))


def print_next(text: str) -> None:
    """What may be done next; on stderr, since it is no result."""
    typer.echo(f"next: {text}", err=True)


def confirm(what: list[str]) -> None:
    """Asks before `what` is deleted. Raises typer.Exit where the answer is no."""
    if not sys.stdin.isatty():
        raise ConfigError(
            "expected an answer, and stdin is no terminal", "Add --yes to delete without asking"
        )
    for line in what:
        typer.echo(line, err=True)
    if not typer.confirm("Delete for good?", err=True):
        typer.echo("nothing was deleted", err=True)
        raise typer.Exit
