"""summary.html: one file for people, with classes, probabilities, samples and errors."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from trainer.inference import forms, keys
from trainer.inference.forms import Prediction, ReadError
from trainer.inference.results.prediction_summary import PredictionSummary
from trainer.inference.sources.image import ImageSource
from trainer.output.html.charts import Bar, histogram
from trainer.output.html.confusion import ConfusionMatrix, confusion_matrix
from trainer.output.html.render import render_page
from trainer.output.html.thumbnail import thumbnail
from trainer.output.html.tile import Tile
from trainer.output.units import plural

MAX_ERRORS_SHOWN = 30
"""Classes and errors that are listed."""


class Sample(NamedTuple):
    """An image as a `data:` URL, and its prediction; `label` is its class, where that is known."""

    name: str
    source: str
    class_name: str
    probability: float
    label: str | None


def page(
    source: ImageSource,
    summary: PredictionSummary,
    samples: Sequence[Prediction],
    errors: Sequence[ReadError],
) -> bytes:
    """The HTML of a summary. Samples that cannot be read any more are left out."""
    shown = [one for sample in samples if (one := _sample(source, sample))]
    matrix = _matrix(summary["confusion"])
    chart = histogram("probability of the class", summary["probabilities"], "probability", "images")
    parts = [
        ("classes", "Classes", True),
        ("confusion", "Confusion", matrix is not None),
        ("samples", "Samples", bool(shown)),
        ("failed", "Failed", bool(errors)),
        ("job", "Job", True),
    ]
    found = summary["classes"]
    return render_page(
        "predictions.html",
        kind="Summary of a prediction job",
        title="Predictions",
        contents=[(anchor, name) for anchor, name, there in parts if there],
        tiles=_tiles(summary),
        head=_head(summary),
        classes=_bars(summary),
        all_classes=[
            (name, f"{of['images']:,}", f"{of['mean_probability']:.3f}") for name, of in found.items()
        ]
        if len(found) > MAX_ERRORS_SHOWN
        else [],
        probabilities=[chart] if chart else [],
        matrix=matrix,
        samples=shown,
        failed=len(errors),
        errors=[(row["image"], row["error"]) for row in errors[:MAX_ERRORS_SHOWN]],
        files=[keys.SUMMARY, keys.ERRORS, keys.predictions(0, forms.suffix(summary["format"]))],
    )


def _tiles(summary: PredictionSummary) -> list[Tile]:
    images, predicted, failed = summary["images"], summary["predicted"], summary["failed"]
    tiles = [Tile("Predicted", f"{predicted:,}", f"of {plural(images, 'image')}")]
    if summary["accuracy"] is not None:
        tiles.insert(0, Tile("Accuracy", f"{summary['accuracy']:.1%}", "where the input has classes"))
    if summary["mean_probability"] is not None:
        tiles.append(Tile("Mean probability", f"{summary['mean_probability']:.1%}", "of the predicted class"))
    reasons = ", ".join(list(summary["failed_by"])[:2])
    return [
        *tiles,
        Tile("Classes", f"{len(summary['classes']):,}", "that were predicted"),
        Tile("Failed", f"{failed:,}", reasons),
        Tile("Skipped", f"{summary['ignored']:,}", "objects that are not images by their names"),
    ]


def _head(summary: PredictionSummary) -> list[tuple[str, str]]:
    return [
        ("images", f"{summary['images']:,}"),
        *((f"skipped by {rule}", f"{count:,}") for rule, count in summary["ignored_by"].items()),
        ("run", summary["run"]),
        ("weights", f"{summary['weights']}, SHA-256 {summary['weights_sha256']}"),
        ("input", summary["input"]),
        ("output", summary["output"]),
    ]


def _bars(summary: PredictionSummary) -> list[Bar]:
    """The classes with the most images, 100 percent is the most frequent one; and the other classes."""
    found = list(summary["classes"].items())
    most = max((of["images"] for _, of in found), default=1)
    bars = [
        Bar(name, f"{of['images']:,}", 100 * of["images"] / most, f"{of['mean_probability']:.3f}")
        for name, of in found[:MAX_ERRORS_SHOWN]
    ]
    if rest := found[MAX_ERRORS_SHOWN:]:
        images = sum(of["images"] for _, of in rest)
        bars.append(Bar(f"{len(rest):,} more classes", f"{images:,}", 0.0))
    return bars


def _matrix(confusion: Mapping[str, Mapping[str, int]]) -> ConfusionMatrix | None:
    """None where the input has no classes."""
    if not confusion:
        return None
    names = sorted({*confusion, *(name for row in confusion.values() for name in row)})
    places = {name: place for place, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), np.int64)
    for label, row in confusion.items():
        for predicted, images in row.items():
            counts[places[label], places[predicted]] = images
    return confusion_matrix(counts, names)


def _sample(source: ImageSource, prediction: Prediction) -> Sample | None:
    pixels = source.show(prediction.image)
    if pixels is None:
        return None
    key = prediction.image
    what = (prediction.class_name, prediction.probability)
    return Sample(source.name(key), thumbnail(pixels), *what, source.label(key))
