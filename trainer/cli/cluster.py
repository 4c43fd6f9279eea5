"""The commands for releases on Kubernetes."""

import sys
from typing import Annotated

import typer

from trainer.cli.arguments import (
    Json,
    Namespace,
    Release,
    finite,
)


def status(
    release: Annotated[
        str | None, typer.Argument(help="Name of the Helm release. Default: every release in the namespace.")
    ] = None,
    namespace: Namespace = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Refresh until the release has ended.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the state of releases: pods, ranks, epoch, step, images/s, checkpoint, what they wait for."""
    from trainer.cluster import commands

    commands.status(release, namespace, watch=watch, as_json=json)


def logs(
    release: Release,
    namespace: Namespace = None,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", "-f", help="Stream new lines, also of replaced pods, until the release has ended."
        ),
    ] = False,
    rank: Annotated[
        int,
        typer.Option(min=0, help="Rank whose last output is printed; 0: the log of the chief."),
    ] = 0,
) -> None:
    """Print the log of the chief (rank 0)."""
    from trainer.cluster import commands

    commands.logs(release, namespace, follow=follow, rank=rank)


def wait(
    release: Release,
    namespace: Namespace = None,
    timeout: Annotated[
        float | None, typer.Option(min=0, callback=finite, help="Seconds to wait. Default: no limit.")
    ] = None,
    json: Json = False,
) -> None:
    """Wait until a release has ended, and exit with its exit code."""
    from trainer.cluster import commands

    sys.exit(commands.wait(release, namespace, timeout=timeout, as_json=json))
