"""`trainer doctor`."""

import sys
from typing import Annotated

import typer

from trainer import interrupts
from trainer.cli.answers import print_json
from trainer.cli.arguments import (
    Json,
)
from trainer.errors import EXIT_INVALID


def doctor(
    url: Annotated[
        str | None,
        typer.Argument(help="URL in object storage to check as well. Default: this machine alone."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Skip the slow checks (devices, throughput).")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Let each check take the time that it needs, not 20 s in all.")
    ] = False,
    json: Json = False,
) -> None:
    """Check this machine and an object store, and list what to fix, in order."""
    from trainer.cli.pages import machine as pages
    from trainer.doctor import examine

    with interrupts.unwinding():
        checks = examine(url, timed=not quick, full=full)
    if json:
        print_json([check.__dict__ for check in checks])
    else:
        pages.print_checks(checks)
    if any(check.mark == "error" for check in checks):
        sys.exit(EXIT_INVALID)
