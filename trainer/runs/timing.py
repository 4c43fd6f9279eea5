"""Where the time of each epoch went, on the rank that publishes: as CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class EpochTiming:
    """What the process that ended an epoch did of it: all of it, unless the run was started again meanwhile.

    Attributes:
        epoch: counted from 0.
        generation: the number of the token; another one than before says that the run was started again.
        ranks: the world size.
        images: of the steps, over all ranks.
        seconds: from the end of the epoch before, or the start of the loop, to the end of this one.
        waiting: seconds that this rank waited for data.
        training: seconds of its steps, the exchange included.
        validation: seconds.
        saving: seconds that it waited for checkpoints.
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

    @property
    def images_per_second(self) -> float:
        """In the steps and what they waited for."""
        spent = self.waiting + self.training
        return self.images / spent if spent else 0.0


def write_timing(rows: Sequence[EpochTiming]) -> bytes:
    """CSV text, seconds to the millisecond."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(EpochTiming)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _text(value) for name, value in asdict(row).items()} for row in rows)
    return text.getvalue().encode()


def read_timing(data: bytes) -> list[EpochTiming]:
    """What `write_timing` was given. Raises ValueError for anything else."""
    try:
        rows = list(csv.DictReader(io.StringIO(data.decode())))
        return [EpochTiming(**{name: _number(value) for name, value in row.items()}) for row in rows]
    except (AttributeError, TypeError) as error:
        raise ValueError(f"not the timing of epochs: {error}") from error


def _number(text: str) -> Any:
    return int(text) if text.isdecimal() else float(text)


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}"
