"""timing.csv: how the chief spent the time of each epoch."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class EpochTiming:
    """The part of an epoch that the process did that ended it: all of it, unless the run was restarted.

    Attributes:
        epoch: counted from 0.
        generation: the number of the token; it changes when the run is restarted.
        ranks: the world size.
        images: images of the steps, over all ranks.
        seconds: from the end of the previous epoch, or the start of the loop, to the end of this one.
        waiting: seconds that this rank waited for data.
        training: seconds of its steps, including the exchange.
        validation: seconds of the validation.
        saving: seconds that this rank waited for checkpoints.
        gpus: GPUs of all ranks; 0 without any, and in files of older versions.
        cores: CPU cores that all ranks may use; 0 in files of older versions.
    """

    epoch: int
    generation: int
    ranks: int
    images: int
    seconds: float
    waiting: float
    training: float
    validation: float
    saving: float
    gpus: int = 0
    cores: float = 0.0

    @property
    def images_per_second(self) -> float:
        """Images per second of the steps and of waiting for their data."""
        seconds = self.waiting + self.training
        return self.images / seconds if seconds else 0.0


_COLUMNS = tuple(field.name for field in fields(EpochTiming))


def write_timing(rows: Sequence[EpochTiming]) -> bytes:
    """CSV text, seconds to the millisecond."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _text(value) for name, value in asdict(row).items()} for row in rows)
    return text.getvalue().encode()


def read_timing(data: bytes) -> list[EpochTiming]:
    """The rows that `write_timing` wrote. Raises ValueError for any other data."""
    try:
        rows = list(csv.DictReader(io.StringIO(data.decode())))
        return [
            EpochTiming(**{name: _number(value) for name, value in row.items() if name in _COLUMNS})
            for row in rows
        ]
    except (AttributeError, TypeError) as error:
        raise ValueError(f"not the timing of epochs: {error}") from error


def _number(text: str) -> Any:
    return int(text) if text.isdecimal() else float(text)


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}"
