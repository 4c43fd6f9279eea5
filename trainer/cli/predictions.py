"""`trainer predict`."""

from typing import Annotated

import typer

from trainer.cli.answers import print_json
from trainer.cli.arguments import Config, Json, Namespace, Overrides
from trainer.cli.run_names import run_folder
from trainer.errors import EXIT_INVALID


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
    from trainer.api.prediction_function import predict_few, predict_many
    from trainer.cli.pages import predictions as pages
    from trainer.inference.local import this_command

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
        few = predict_few(images, config, arguments, overrides or ())
        if json:
            print_json(few.rows)
        else:
            few.check()
            pages.print_classified(few.rows, top)
        if few.errors:
            raise typer.Exit(EXIT_INVALID)
        return
    summary = predict_many(config, arguments, overrides or (), workers, this_command()).document
    if summary is None:
        return
    if json:
        print_json(summary)
    else:
        pages.print_predicted(summary)
