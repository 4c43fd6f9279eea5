"""The program: its commands, by the panel of `trainer --help` that shows them."""

from typing import Annotated

import typer

from trainer import __version__
from trainer.cli import cluster, datasets, hdf5, machine, networks, predictions, runs
from trainer.cli.log_format import with_log_format
from trainer.cli.views import augment_command, log_command

PANELS = {
    "Datasets and predictions": (
        datasets.prepare,
        hdf5.index,
        datasets.inspect,
        augment_command.augment,
        predictions.predict,
    ),
    "Runs": (
        runs.train,
        runs.supervise,
        runs.evaluate,
        runs.report,
        log_command.log,
        runs.compare,
        networks.recipes,
        networks.model,
        runs.weights,
        runs.runs,
        runs.verify,
    ),
    "Releases on Kubernetes": (cluster.status, cluster.logs, cluster.wait),
}

app = typer.Typer(
    name="trainer",
    help="Train image classifiers on Kubernetes, straight from object storage.",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for panel, commands in PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(with_log_format(command))
app.command()(with_log_format(machine.doctor))


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trainer {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Train image classifiers on Kubernetes, straight from object storage."""
