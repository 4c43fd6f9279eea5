"""`trainer log`: what a run reached after each epoch, how long it took and what it cost."""

from typing import TypedDict

from trainer.config.run_sections import PriceSection
from trainer.errors import DataError
from trainer.reporting.usage import read_epochs, usage_of
from trainer.reporting.write import read_metrics
from trainer.runs import layout
from trainer.runs.history import best_epoch
from trainer.runs.run_document import read_finished, read_run
from trainer.storage import Store


class LoggedEpoch(TypedDict):
    """One epoch.

    Attributes:
        epoch: counted from 1.
        metrics: name -> value, as in metrics.csv.
        seconds: that it took; null where it is not known.
        images_per_second: of its steps and of waiting for their data; null where it is not known.
    """

    epoch: int
    metrics: dict[str, float]
    seconds: float | None
    images_per_second: float | None


class LoggedRun(TypedDict):
    """The epochs of a run.

    Attributes:
        run: URL of its folder.
        epochs: those that have ended.
        of: epochs of the whole run.
        finished: whether the run has ended.
        best: the epoch with the best value of `run.monitor`; null without one.
        monitor: that metric.
        without_pauses: seconds of the epochs, without pauses and without steps that a restart repeated.
        rank_hours: of these epochs, summed over the ranks.
        gpu_hours: the same over all GPUs; 0 without any.
        core_hours: the same over all CPU cores.
        cost: of these hours, by `--price` or else the run's `run.price`; null without a price.
        currency: of the cost; null without a price.
    """

    run: str
    epochs: list[LoggedEpoch]
    of: int
    finished: bool
    best: int | None
    monitor: str
    without_pauses: float
    rank_hours: float
    gpu_hours: float
    core_hours: float
    cost: float | None
    currency: str | None


def read_log(store: Store, price: PriceSection | None = None) -> LoggedRun:
    """The epochs of a run; `price`: in place of the one in its configuration. Raises DataError where there is
    no run."""
    config = read_run(store).config
    history, timing = read_metrics(store), read_epochs(store)
    used, price = usage_of(timing), price or config.run.price
    best = best_epoch(history, config.run.monitor)
    timed = {row.epoch: row for row in timing}
    return {
        "run": store.url,
        "epochs": [
            {
                "epoch": number + 1,
                "metrics": dict(metrics),
                "seconds": round(timed[number].seconds, 3) if number in timed else None,
                "images_per_second": round(timed[number].images_per_second, 3) if number in timed else None,
            }
            for number, metrics in enumerate(history)
        ],
        "of": config.train.epochs,
        "finished": read_finished(store) is not None,
        "best": None if best is None else best + 1,
        "monitor": config.run.monitor,
        "without_pauses": round(used.seconds, 3),
        "rank_hours": round(used.rank_hours, 4),
        "gpu_hours": round(used.gpu_hours, 4),
        "core_hours": round(used.core_hours, 4),
        "cost": round(used.cost(price), 4) if price else None,
        "currency": price.currency if price else None,
    }


def read_csv(store: Store) -> bytes:
    """metrics.csv as it is. Raises DataError before the first epoch has ended."""
    try:
        return store.get(layout.METRICS)
    except FileNotFoundError:
        raise DataError(
            f"{store.url} has no metrics yet: no epoch has ended", "Repeat the command after the first epoch"
        ) from None
