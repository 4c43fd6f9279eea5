"""`trainer augment`."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from trainer.cli.arguments import Config, Overrides, Recipe

FILE = "augmentation.html"


def augment(
    config: Config = None,
    recipe: Recipe = None,
    overrides: Overrides = None,
    output: Annotated[
        str,
        typer.Option("--output", metavar="FILE", help="The page, .html, or one image, .png."),
    ] = FILE,
    images: Annotated[int, typer.Option(min=1, max=100, help="Images, each in a row.")] = 8,
    draws: Annotated[int, typer.Option(min=1, max=50, help="Epochs, each in a column.")] = 8,
    epoch: Annotated[int, typer.Option(min=1, max=1_000_000, help="The first epoch.")] = 1,
) -> None:
    """Show training images as a run augments them, before it is trained."""
    from trainer.config.explain import quoted
    from trainer.dataset.open_dataset import open_dataset
    from trainer.errors import ConfigError
    from trainer.evaluation.perturbations import describe
    from trainer.local_file import write_file
    from trainer.observability.log import say
    from trainer.observability.tensorflow_import import quiet_tensorflow_import, require_tensorflow
    from trainer.training.auto import loaded_run

    if Path(output).suffix not in (".html", ".png"):
        raise ConfigError(
            f"--output: expected a file .html or .png, received {quoted(output)}", f"Such as --output {FILE}"
        )
    settings = [*(overrides or ()), *_without_a_run(config, recipe, overrides or ())]
    with loaded_run(config, recipe=recipe, overrides=settings, keep=False) as (run, _):
        dataset = open_dataset(run.data.url)
    require_tensorflow()
    with quiet_tensorflow_import():
        from trainer.dataset.inspection import augmentation_sheet as sheet
        from trainer.dataset.inspection.augmented_rows import augmented_rows
        from trainer.dataset.pipeline.augmentation import Augmentation

    augmentation = Augmentation(**run.data.augment.model_dump())
    described = describe(augmentation)
    say(f"data.augment: {described}")
    epochs = range(epoch - 1, epoch - 1 + draws)
    rows = augmented_rows(run, dataset, images=images, epochs=epochs)
    if output.endswith(".png"):
        content = sheet.png_sheet(rows, epochs)
    else:
        content = sheet.html_sheet(rows, epochs, described, dataset.url)
    typer.echo(write_file(content, output, FILE))


def _without_a_run(config: Path | None, recipe: str | None, overrides: Sequence[str]) -> list[str]:
    """A value for `run.url`, where it is not set: nothing is written there."""
    from trainer.config.load import read_settings

    run = read_settings(config, recipe=recipe, overrides=overrides).values.get("run")
    named = isinstance(run, dict) and run.get("url") is not None
    return [] if named else [f"run.url={tempfile.gettempdir()}/no-run"]
