"""summary.html: one file for people, with classes, probabilities, samples and errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trainer.inference.forms import Prediction, ReadError
from trainer.inference.results.prediction_summary import PredictionSummary
from trainer.inference.sources.image import ImageSource
from trainer.output.html.render import render_page
from trainer.output.html.thumbnail import thumbnail

MAX_ERRORS_SHOWN = 30
"""Classes and errors that are listed."""


@dataclass(frozen=True)
class Bar:
    """A row of a bar chart; the longest bar has 100 percent."""

    name: str
    count: int
    percent: float
    remark: str = ""


class Sample(NamedTuple):
    """An image as a `data:` URL, and its prediction."""

    name: str
    source: str
    class_name: str
    probability: float


def page(
    source: ImageSource,
    summary: PredictionSummary,
    samples: Sequence[Prediction],
    errors: Sequence[ReadError],
) -> bytes:
    """The HTML of a summary. Samples that cannot be read any more are left out."""
    return render_page(
        "predictions.html",
        title="Predictions",
        head=_head(summary),
        classes=_bars(_classes(summary)),
        probabilities=_bars(_bins(summary["probabilities"])),
        samples=[shown for sample in samples if (shown := _sample(source, sample))],
        failed=len(errors),
        errors=[(row["image"], row["error"]) for row in errors[:MAX_ERRORS_SHOWN]],
    )


def _head(summary: PredictionSummary) -> list[tuple[str, str]]:
    accuracy = summary["accuracy"]
    return [
        ("images", f"{summary['images']:,}"),
        ("predicted", f"{summary['predicted']:,}"),
        ("failed", f"{summary['failed']:,}"),
        *([] if accuracy is None else [("accuracy", f"{accuracy:.4f}")]),
        ("skipped", f"{summary['ignored']:,}"),
        *((f"skipped by {rule}", f"{count:,}") for rule, count in summary["ignored_by"].items()),
        ("run", summary["run"]),
        ("weights", f"{summary['weights']}, SHA-256 {summary['weights_sha256']}"),
        ("input", summary["input"]),
        ("output", summary["output"]),
    ]


def _classes(summary: PredictionSummary) -> list[tuple[str, int, str]]:
    found = list(summary["classes"].items())
    rows = [
        (name, of["images"], f"mean probability {of['mean_probability']:.3f}")
        for name, of in found[:MAX_ERRORS_SHOWN]
    ]
    if rest := found[MAX_ERRORS_SHOWN:]:
        rows.append((f"{len(rest):,} more classes", sum(of["images"] for _, of in rest), ""))
    return rows


def _bins(histogram: Sequence[int]) -> list[tuple[str, int, str]]:
    bins = len(histogram)
    return [(f"{i / bins:.1f} to {(i + 1) / bins:.1f}", count, "") for i, count in enumerate(histogram)]


def _bars(rows: Sequence[tuple[str, int, str]]) -> list[Bar]:
    most = max((count for _, count, _ in rows), default=0) or 1
    return [Bar(name, count, 100 * count / most, remark) for name, count, remark in rows]


def _sample(source: ImageSource, prediction: Prediction) -> Sample | None:
    pixels = source.show(prediction.image)
    if pixels is None:
        return None
    return Sample(prediction.image, thumbnail(pixels), prediction.class_name, prediction.probability)
