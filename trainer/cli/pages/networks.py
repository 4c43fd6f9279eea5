"""What the command for networks prints."""

from typing import TYPE_CHECKING

from trainer.output.table import print_facts, print_table
from trainer.output.units import plural, shape

if TYPE_CHECKING:
    from trainer.models.layer_table import LayerTable


def print_layers(table: "LayerTable") -> None:
    """Prints the layers, and what they add up to."""
    print_table(
        ("layer", "type", "output", "parameters"),
        [
            (
                one.name,
                one.type,
                " x ".join("?" if n is None else str(n) for n in one.output),
                f"{one.parameters:,}",
            )
            for one in table.layers
        ],
        right=(3,),
    )
    print()
    print_facts(
        [
            ("network", table.network),
            ("images", f"{shape(table.image_shape)}, {plural(table.classes, 'class')}"),
            ("layers", f"{len(table.layers):,}, {plural(table.convolutions, 'convolution')} among them"),
            ("parameters", f"{table.parameters:,}, {table.trainable:,} of them trainable"),
        ]
    )
