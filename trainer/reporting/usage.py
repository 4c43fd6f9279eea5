"""The hours that the epochs of a run took, and what they cost."""

from collections.abc import Iterable
from dataclasses import dataclass

from trainer.config.run_sections import PriceSection
from trainer.runs import layout
from trainer.runs.timing import EpochTiming, read_timing
from trainer.storage import Store


@dataclass(frozen=True)
class Usage:
    """What epochs took. Pauses between starts of the run, and steps that a restart repeated, do not count.

    Attributes:
        seconds: of the epochs, one after the other.
        rank_hours: hours of the epochs, each times its ranks.
        gpu_hours: the same for GPUs; 0 without any.
        core_hours: the same for CPU cores; 0 in runs of older versions.
    """

    seconds: float
    rank_hours: float
    gpu_hours: float
    core_hours: float

    def cost(self, price: PriceSection) -> float:
        """In the currency of `price`."""
        return self.gpu_hours * price.gpu_hour + self.core_hours * price.core_hour

    def describe(self) -> str:
        """The hours of GPUs and cores, in words; "" where neither is known."""
        gpus = [f"{hours(self.gpu_hours)} GPU hours"] if self.gpu_hours else []
        cores = [f"{hours(self.core_hours)} core hours"] if self.core_hours else []
        return "; ".join(gpus + cores)


def usage_of(timing: Iterable[EpochTiming]) -> Usage:
    """The sums over the epochs."""
    rows = list(timing)
    return Usage(
        sum(row.seconds for row in rows),
        sum(row.seconds * row.ranks for row in rows) / 3600,
        sum(row.seconds * row.gpus for row in rows) / 3600,
        sum(row.seconds * row.cores for row in rows) / 3600,
    )


def read_epochs(store: Store) -> list[EpochTiming]:
    """timing.csv of a run; [] before its first epoch, and where it is damaged."""
    try:
        return read_timing(store.get(layout.TIMING))
    except (FileNotFoundError, ValueError):
        return []


def money(amount: float, currency: str) -> str:
    """12.30 USD."""
    return f"{amount:,.2f} {currency}" if amount >= 0.01 or not amount else f"under 0.01 {currency}"


def hours(count: float) -> str:
    """0.032, 3.2, 320."""
    return f"{count:,.0f}" if count >= 100 else f"{count:.2g}"
