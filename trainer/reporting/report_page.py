"""report/index.html of what is known of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from trainer.output.html.render import render_page
from trainer.output.html.thumbnail import thumbnail
from trainer.output.units import span
from trainer.reporting.charts import line_chart, matrix
from trainer.runs.documents.evaluation_values import EvaluatedClass, EvaluationDocument
from trainer.runs.run_document import RunDocument, RunResult
from trainer.runs.timing import EpochTiming

MAX_MISTAKES_SHOWN = 24
MAX_CONFUSED_SHOWN = 10


@dataclass(frozen=True)
class Picture:
    """An image, uint8 (H, W, 3), and its class; of a mistake also what was predicted, and its probability."""

    pixels: NDArray[np.uint8]
    class_name: str
    predicted: str | None = None
    probability: float = 0.0

    @property
    def source(self) -> str:
        """The image as a `data:` URL."""
        return thumbnail(self.pixels)


@dataclass(frozen=True)
class Known:
    """All that a report can show. `evaluations` are those of `trainer evaluate`, by split and weights."""

    url: str
    run: RunDocument
    dataset: Mapping[str, str]
    history: Sequence[Mapping[str, float]]
    finished: RunResult | None
    evaluations: Sequence[EvaluationDocument] = ()
    samples: Sequence[Picture] = ()
    mistakes: Sequence[Picture] = ()
    timing: Sequence[EpochTiming] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def restarts(self) -> list[float]:
        """Where on the axis of epochs, counted from 1, another process continued."""
        pairs = pairwise(self.timing)
        return [after.epoch + 0.5 for before, after in pairs if before.generation != after.generation]


def page(known: Known) -> bytes:
    """One HTML file with everything in it."""
    return render_page(
        "report.html",
        title=known.url.rstrip("/").rpartition("/")[2],
        head=_head(known),
        curves=_curves(known),
        restarted=bool(known.restarts),
        time_charts=_time_charts(known),
        times=_times(known.timing),
        evaluations=[_evaluation(one) for one in known.evaluations],
        samples=known.samples,
        mistakes=known.mistakes,
        dataset=known.dataset.items(),
        config=yaml.safe_dump(known.run.config.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
        versions=known.versions.items(),
    )


def _head(known: Known) -> list[tuple[str, str]]:
    config = known.run.config
    facts = {"run": known.url, "network": config.model.name, "classes": f"{len(known.run.classes):,}"}
    state = "not finished"
    if (finished := known.finished) is not None:
        state = f"finished after {finished.epochs:,} epochs, {finished.steps:,} steps"
        state += " (stopped early)" if finished.stopped_early else ""
        facts["weights of epoch"] = finished.epoch_of(finished.published)
        facts |= {name: f"{value:.4f}" for name, value in sorted(finished.published.metrics.items())}
    return [*facts.items(), ("state", state)]


def _curves(known: Known) -> list[str]:
    names = {name for row in known.history for name in row}
    charts = []
    for metric in sorted(name for name in names if not name.startswith("val_")):
        series = {
            label: [(epoch + 1.0, row[name]) for epoch, row in enumerate(known.history) if name in row]
            for label, name in (("training", metric), ("validation", f"val_{metric}"))
        }
        if f"val_{metric}" not in names:
            series = {metric: series["training"]}
        charts.append(line_chart(series, "epoch", metric.replace("_", " "), known.restarts))
    return [chart for chart in charts if chart]


PARTS_OF_AN_EPOCH = ("training", "waiting", "validation", "saving")
"""Attributes of `EpochTiming`, in seconds."""


def _time_charts(known: Known) -> list[str]:
    if not known.timing:
        return []
    rate = [(row.epoch + 1.0, row.images_per_second) for row in known.timing]
    seconds = {
        name: [(row.epoch + 1.0, getattr(row, name)) for row in known.timing] for name in PARTS_OF_AN_EPOCH
    }
    return [
        line_chart({"images/s": rate}, "epoch", "images/s", known.restarts),
        line_chart(seconds, "epoch", "seconds", known.restarts),
    ]


def _times(rows: Sequence[EpochTiming]) -> list[tuple[str, str, str]]:
    """What rank 0 did, how long, and the fraction of the whole."""
    total = {name: sum(getattr(row, name) for row in rows) for name in PARTS_OF_AN_EPOCH}
    whole = sum(row.seconds for row in rows)
    total["the rest"] = max(0.0, whole - sum(total.values()))
    return [(name, span(spent), f"{spent / whole:.1%}") for name, spent in total.items() if whole]


def _evaluation(found: EvaluationDocument) -> dict[str, Any]:
    """The values of a section of the page."""
    facts = {"images": f"{found['rows']:,}", "loss": f"{found['loss']:.4f}", "top 1": f"{found['top1']:.4f}"}
    if found["top5"] is not None:
        facts["top 5"] = f"{found['top5']:.4f}"
    facts["calibration error"] = f"{found['calibration_error']:.4f}"
    facts |= {name: f"{accuracy:.4f}" for name, accuracy in found["sensitivity"].items()}
    bins = [one for one in found["calibration"] if one]
    calibration = {
        "accuracy": [(one["probability"], one["accuracy"]) for one in bins],
        "if calibrated": [(0.0, 0.0), (1.0, 1.0)],
    }
    return {
        "title": f"{found['dataset']['split']}, {found['weights']} weights",
        "warnings": found["warnings"],
        "facts": facts.items(),
        "matrix": matrix(np.array(found["confusion"]), [one["class"] for one in found["classes"]]),
        "confused": [
            (one["class"], one["predicted"], f"{one['rows']:,}")
            for one in found["most_confused"][:MAX_CONFUSED_SHOWN]
        ],
        "calibration": line_chart(calibration, "probability", "accuracy"),
        "classes": [_class_row(one) for one in found["classes"]],
    }


def _class_row(one: EvaluatedClass) -> tuple[str, ...]:
    figures = (one["precision"], one["recall"], one["f1"])
    return (one["class"], f"{one['rows']:,}", *("-" if f is None else f"{f:.3f}" for f in figures))
