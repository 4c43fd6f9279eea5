"""Images that could not be read: why, and whether they are too many."""

import json

from trainer.errors import DataError
from trainer.inference import keys
from trainer.inference.forms import ReadError
from trainer.storage import Store


def check_bad(bad: int, images: int, max_fraction: float, target: Store) -> None:
    """Raises DataError where more than the fraction `max_fraction` of all images cannot be read."""
    if bad > max_fraction * images:
        raise DataError(
            f"{bad:,} of {images:,} images cannot be read, more than max_bad_fraction {max_fraction:g}; "
            f"the reasons are in {target.url}/{keys.PART_ERRORS}",
            "Repair or remove them and predict into another folder, or raise max_bad_fraction",
        )


def read_errors(target: Store, part: int) -> list[ReadError]:
    """The images of a part that could not be read, and why."""
    try:
        return [json.loads(line) for line in target.get(keys.part_errors(part)).splitlines()]
    except FileNotFoundError:
        return []
