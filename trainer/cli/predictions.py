"""`trainer predict`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from trainer.cli.answers import print_json
from trainer.cli.arguments import Config, Json, Namespace, Overrides
from trainer.cli.run_names import run_folder
from trainer.errors import EXIT_INVALID, DataError
from trainer.output.units import abbreviate


def predict(
    images: Annotated[
        list[str] | None,
        typer.Argument(help="A few images: paths, folders, s3:// or https:// URLs. Default: --input."),
    ] = None,
    config: Config = None,
    run: Annotated[
        str | None,
        typer.Option(help="Folder of the trained run, or its release. Default: from --config."),
    ] = None,
    namespace: Namespace = None,
    model: Annotated[
        str | None,
        typer.Option(help="keras:NAME, with ImageNet weights and classes. Default: the network of the run."),
    ] = None,
    input: Annotated[
        str | None, typer.Option(help="Many images: a prefix, a dataset, a list. Default: from --config.")
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="URL of the predictions. Default: from --config.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Worker processes on this machine.")] = 1,
    split: Annotated[
        str | None, typer.Option(help="Split to predict, if --input is a dataset. Default: from --config.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=5, help="Classes to print per image.")] = 1,
    extend: Annotated[
        bool, typer.Option("--extend", help="Also predict images added since the job first ran.")
    ] = False,
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Classify a few images, or all of a prefix, dataset or list; an interrupted job is resumed."""
    from trainer.cli.pages import predictions as pages
    from trainer.inference.job import main as predict_job

    folder = run_folder(run, namespace) if run else None
    options = {
        "run": folder,
        "model": model,
        "input": input,
        "output": output,
        "split": split,
        "extend": extend,
    }
    arguments = {key: value for key, value in options.items() if value}
    if images:
        _predict_few(images, config, arguments, overrides or (), top, json)
        return
    summary = predict_job(config, arguments, overrides or (), workers)
    if summary is None:
        return
    if json:
        print_json(summary)
    else:
        pages.print_predicted(summary)


def _predict_few(
    images: list[str], config: Path | None, arguments: dict[str, Any], overrides: Any, top: int, json: bool
) -> None:
    """Prints every image, then exits with 64 if one could not be read."""
    from trainer.cli.pages import predictions as pages
    from trainer.inference.adhoc import main as predict_few

    rows = predict_few(images, config, arguments, overrides)
    problems = [f"{row['image']}: {row['error']}" for row in rows if "error" in row]
    if json:
        print_json(rows)
    elif len(problems) == len(rows):
        raise DataError(abbreviate(problems, 3, separator="; "), "Name images that are there")
    else:
        pages.print_classified(rows, top)
    if problems:
        raise typer.Exit(EXIT_INVALID)
