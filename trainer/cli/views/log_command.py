"""`trainer log`."""

from typing import Annotated, Literal

import typer

from trainer.cli.answers import print_json
from trainer.cli.arguments import Json, Namespace, Price, Run, parse_price
from trainer.cli.run_names import run_folder


def log(
    run: Run,
    format: Annotated[
        Literal["text", "csv", "json"],
        typer.Option("--format", "-o", help="Output format; csv: as the run keeps it, with epochs from 0."),
    ] = "text",
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="FILE", help="Write it there as CSV. Default: print."),
    ] = None,
    plot: Annotated[
        bool, typer.Option("--plot", help="Draw curves of training and validation in the terminal.")
    ] = False,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", metavar="NAME", help="A metric to draw, such as loss. Repeatable. Default: accuracy."
        ),
    ] = None,
    price: Price = None,
    namespace: Namespace = None,
    json: Json = False,
) -> None:
    """Print the metrics of each epoch of a run, as a table, CSV, JSON or curves; and time and cost."""
    from trainer.cli.pages import history as pages
    from trainer.local_file import write_file
    from trainer.reporting.run_log import read_csv, read_log
    from trainer.runs import layout
    from trainer.storage import open_store

    store = open_store(run_folder(run, namespace))
    found = read_log(store, parse_price(price) if price else None)
    if plot or metrics:
        pages.print_curves(found, metrics or ["accuracy"])
    if output is not None:
        typer.echo(write_file(read_csv(store), output, layout.METRICS))
    elif plot or metrics:
        return
    elif json or format == "json":
        print_json(found)
    elif format == "csv":
        typer.echo(read_csv(store).decode(), nl=False)
    else:
        pages.print_log(found)
