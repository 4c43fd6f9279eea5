"""`trainer predict`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from trainer.cli.answers import print_json, print_next
from trainer.cli.arguments import Config, Json, Sets
from trainer.errors import EXIT_INVALID


def predict(
    images: Annotated[
        list[str] | None,
        typer.Argument(help="A few images: paths, folders, s3:// or https:// URLs. Default: --input."),
    ] = None,
    config: Config = None,
    run: Annotated[
        str | None, typer.Option(help="The folder of the trained run. Default: from --config.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="keras:NAME, with ImageNet's weights and classes. Default: the run's network."),
    ] = None,
    input: Annotated[
        str | None, typer.Option(help="Many images: a prefix, a dataset, a list. Default: from --config.")
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="Where the predictions go. Default: from --config.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Processes on this machine that share the work. Default: 1.")
    ] = 1,
    split: Annotated[
        str | None, typer.Option(help="Of the dataset that is the input. Default: the input is no dataset.")
    ] = None,
    top: Annotated[
        int, typer.Option(min=1, max=5, help="Of a few images: so many classes each. Default: 1.")
    ] = 1,
    extend: Annotated[
        bool, typer.Option("--extend", help="Also predict images that came after the first start.")
    ] = False,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Classify a few images, or all of a prefix, dataset or list; continue where an earlier job ended."""
    from trainer.cli.pages import predictions as pages
    from trainer.inference.job import main as predict_job

    options = {"run": run, "model": model, "input": input, "output": output, "split": split, "extend": extend}
    given = {key: value for key, value in options.items() if value}
    if images:
        _predict_few(images, config, given, sets or (), top, json)
        return
    summary = predict_job(config, given, sets or (), workers)
    if summary is None:
        return
    if json:
        print_json(summary)
    else:
        pages.print_predicted(summary)
        print_next(pages.after_predict(summary["output"]))


def _predict_few(
    images: list[str], config: Path | None, given: dict[str, Any], sets: Any, top: int, json: bool
) -> None:
    """Exits with 64 when one could not be read, after all others are shown."""
    from trainer.cli.pages import predictions as pages
    from trainer.inference.adhoc import main as predict_few

    rows = predict_few(images, config, given, sets)
    if json:
        print_json(rows)
    else:
        pages.print_classified(rows, top)
    if any("error" in row for row in rows):
        raise typer.Exit(EXIT_INVALID)
