"""`trainer.evaluate` and `report`: a run's weights and its page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trainer.api import arguments_checked as checked
from trainer.api.arguments_checked import Place
from trainer.api.shown import Progress, log_lines, shown
from trainer.api.trained_run import TrainedRun
from trainer.config.run_sections import PriceSection
from trainer.config.types import MAX_BATCH
from trainer.evaluation.evaluate import DEFAULT_SEED
from trainer.evaluation.evaluate import evaluate as measure
from trainer.evaluation.perturbations import change_of, check_distinct, parse_change
from trainer.reporting.write import write_report
from trainer.runs.documents.evaluation_values import EvaluatedClass, EvaluationDocument
from trainer.runs.layout import WeightsName

MAX_SEED = 2**31 - 1

RunPlace = Place | TrainedRun
"""The folder of a run, or the run that `train` returned."""


@dataclass(frozen=True)
class Evaluation:
    """How well a run's weights classify a split.

    Attributes:
        run: URL of the run's folder.
        weights: best or last.
        split: of the dataset.
        rows: its images.
        accuracy: the fraction whose class was predicted.
        top5: the fraction whose class is among the five most probable ones; None for up to 5 classes.
        loss: as `val_loss`.
        classes: the figures of each class.
        confusion: images; rows are classes, columns predictions.
        document: all that was measured, as `trainer evaluate --json` prints it (docs/json.md).
    """

    run: str
    weights: WeightsName
    split: str
    rows: int
    accuracy: float
    top5: float | None
    loss: float
    classes: tuple[EvaluatedClass, ...]
    confusion: tuple[tuple[int, ...], ...]
    document: EvaluationDocument


def evaluate(
    run: RunPlace,
    split: str | None = None,
    *,
    weights: Literal["best", "last"] = "best",
    dataset: Place | None = None,
    sensitivity: bool = False,
    changes: Sequence[str | Mapping[str, Any]] = (),
    seed: int = DEFAULT_SEED,
    batch_size: int = 64,
    progress: Progress = True,
) -> Evaluation:
    """Evaluates a run's weights on a split; the options are those of `trainer evaluate`, and `changes` may
    also be mappings with keys of `data.augment`. A network of your own is read from model.keras: its code
    need not be there. Raises ConfigError, DataError with a remedy."""
    checked.one_of("weights", weights, ("best", "last"))
    checked.whole("batch_size", batch_size, 1, MAX_BATCH)
    checked.whole("seed", seed, 0, MAX_SEED)
    wanted = [parse_change(one, seed) if isinstance(one, str) else change_of(one, seed) for one in changes]
    check_distinct(wanted)
    with shown(progress, "images") as report_progress:
        document = measure(
            run_url(run),
            split,
            weights,
            dataset_url=None if dataset is None else checked.place("dataset", dataset),
            sensitivity=sensitivity,
            changes=wanted,
            seed=seed,
            batch_size=batch_size,
            progress=report_progress,
        )
    return Evaluation(
        document["run"],
        document["weights"],
        document["dataset"]["split"],
        document["rows"],
        document["top1"],
        document["top5"],
        document["loss"],
        tuple(document["classes"]),
        tuple(tuple(row) for row in document["confusion"]),
        document,
    )


def report(run: RunPlace, *, price: PriceSection | None = None) -> str:
    """Writes the page of a run, with its curves, evaluations and images -> its URL. `price`: in place of
    the run's `run.price`. Raises DataError."""
    with log_lines():
        return write_report(run_url(run), price)


def run_url(run: RunPlace) -> str:
    """The URL or path of a run's folder. Raises ConfigError."""
    return run.url if isinstance(run, TrainedRun) else checked.place("run", run)
