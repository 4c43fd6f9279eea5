"""Some classes of a source."""

from collections.abc import Sequence
from dataclasses import replace

from trainer.errors import ConfigError, DataError
from trainer.output.units import abbreviate
from trainer.preparation.labels.source import LabelledImage, LabelledImages


def take_classes(source: LabelledImages, classes: Sequence[str]) -> LabelledImages:
    """The images of these classes, which get the numbers of their order.

    Raises ConfigError for a class that the source has not, or that is named twice, DataError where a split
    is left without images.
    """
    unknown = [name for name in classes if name not in source.classes]
    if unknown or len(set(classes)) < len(classes):
        wrong = unknown[0] if unknown else next(name for name in classes if list(classes).count(name) > 1)
        raise ConfigError(
            f"--classes: {source.store.url} has {'no class' if unknown else 'the class once,'} {wrong!r}; "
            f"its classes: {abbreviate(source.classes, 10)}",
            "Name some of them, with commas between them",
        )
    number = {source.classes.index(name): place for place, name in enumerate(classes)}
    splits = {
        split: tuple(
            sorted(
                (
                    LabelledImage(item.key, number[item.label], item.crop)
                    for item in items
                    if item.label in number
                ),
                key=lambda item: item.label,
            )
        )
        for split, items in source.splits.items()
    }
    for split, items in splits.items():
        if not items:
            raise DataError(
                f"--classes: {source.store.url} has no images for {split} of {', '.join(classes)}",
                "Name other classes too",
            )
    return replace(source, classes=tuple(classes), splits=splits)
