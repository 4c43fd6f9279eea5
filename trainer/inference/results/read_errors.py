"""Images that could not be read: why, and whether they are too many."""

import json

from trainer.errors import DataError
from trainer.inference import keys
from trainer.inference.forms import ReadError
from trainer.storage import Store


def check_bad(bad: int, images: int, most: float, target: Store) -> None:
    """Raises DataError where more than the share `most` of all images cannot be read."""
    if bad > most * images:
        raise DataError(
            f"{bad:,} of {images:,} images cannot be read, more than max_bad_fraction {most:g}; the reasons "
            f"are in {target.url}/{keys.PART_ERRORS}",
            "Repair or remove them and predict into another folder, or raise max_bad_fraction",
        )


def read_errors(target: Store, part: int) -> list[ReadError]:
    """What of a part could not be read, and why."""
    try:
        return [json.loads(line) for line in target.get(keys.part_errors(part)).splitlines()]
    except FileNotFoundError:
        return []
