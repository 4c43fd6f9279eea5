"""Where the images are, and which class each is of: one module for each way to say it."""

from trainer.preparation.labels.find import NAMES, find
from trainer.preparation.labels.formats.rows import NO_COLUMNS, Columns
from trainer.preparation.labels.source import Box, LabelledImage, LabelledImages, NamesAndCount

__all__ = [
    "NAMES",
    "NO_COLUMNS",
    "Box",
    "Columns",
    "LabelledImage",
    "LabelledImages",
    "NamesAndCount",
    "find",
]
