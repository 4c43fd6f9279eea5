"""The commands for networks and for recipes, which name one."""

from typing import Annotated

import typer
import yaml

from trainer.cli.answers import print_json
from trainer.cli.arguments import Json, check_image_size, parse_sides
from trainer.errors import ConfigError


def model(
    name: Annotated[
        str,
        typer.Argument(
            help="A network of this program, keras:NAME for one of keras.applications, or "
            "package.module:function for your own."
        ),
    ],
    image_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIDE|HxW",
            callback=check_image_size,
            help="Size of the images in pixels. Default: what the network was made for.",
        ),
    ] = None,
    channels: Annotated[int, typer.Option(min=1, max=4, help="Channels of an image.")] = 3,
    classes: Annotated[int, typer.Option(min=1, max=1_000_000, help="Classes to tell apart.")] = 1000,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--option", help="An option of the network, such as n_filters=32. Repeatable. Default: none."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show a network's layers, shapes and parameters, without a dataset."""
    from trainer.cli.pages.networks import print_layers
    from trainer.models.layer_table import layer_table

    sides = parse_sides(image_size) if image_size else None
    table = layer_table(name, sides, channels, classes, dict(map(_option, options or ())))
    print_json(table) if json else print_layers(table)


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe. Default: list them.")] = None,
) -> None:
    """List the recipes, or print one."""
    from trainer.config.load import AUTO
    from trainer.config.load import recipes as known

    if name is None:
        from trainer.cli.pages import runs as pages

        pages.print_recipes(known())
    elif name == AUTO:
        typer.echo("# chosen as a run starts, by its data and machine: `trainer train --check` prints it")
    elif name in known():
        typer.echo(known()[name], nl=False)
    else:
        raise ConfigError(f"there is no recipe {name!r}", f"Known: {', '.join(known())}")


def _option(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    try:
        if equals and name:
            return name, yaml.safe_load(value)
    except yaml.YAMLError:
        pass
    raise ConfigError(f"--option: expected NAME=VALUE, received {text!r}", "Such as --option n_filters=32")
