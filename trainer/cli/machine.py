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
        str | None, typer.Argument(help="A place in object storage to check. Default: this machine alone.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Nothing that takes seconds. Default: also devices and speeds.")
    ] = False,
    json: Json = False,
) -> None:
    """Check this machine, and whether an object store does all that is needed; what to fix, in order."""
    from trainer.cli.pages import machine as pages
    from trainer.doctor import examine

    with interrupts.unwinding():
        findings = examine(url, timed=not quick)
    if json:
        print_json([finding.__dict__ for finding in findings])
    else:
        pages.print_checks(findings)
    if any(finding.mark == "error" for finding in findings):
        sys.exit(EXIT_INVALID)
