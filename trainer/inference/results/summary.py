"""The end of a job: errors.jsonl, summary.json and summary.html, made of the parts that are committed."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import cast

from trainer import __version__
from trainer.errors import RunError
from trainer.inference import forms, keys
from trainer.inference.forms import Prediction, PredictionFormat, ReadError
from trainer.inference.prediction_plan import PredictionPlan
from trainer.inference.results.prediction_summary import PredictedClass, PredictionBinding, PredictionSummary
from trainer.inference.results.read_errors import read_errors
from trainer.inference.results.summary_page import page
from trainer.inference.sources.image import ImageSource
from trainer.storage import Store

VERSION = 1
READERS = 8
BINS = 10
"""Bins of the histogram of probabilities."""
SAMPLES = 24
_UNKNOWN = "it could not be read when its part was predicted"


@dataclass
class Counts:
    """Counts over all parts."""

    classes: Counter[str] = field(default_factory=Counter)
    probability: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    histogram: list[int] = field(default_factory=lambda: [0] * BINS)
    samples: list[Prediction] = field(default_factory=list)
    errors: list[ReadError] = field(default_factory=list)
    confusion: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Class of the source -> predicted class -> images, where the source knows classes."""

    def add(self, prediction: Prediction, label: str | None) -> None:
        """One image, and its class where the source knows it."""
        if label is not None:
            self.confusion[label][prediction.class_name] += 1
        self.classes[prediction.class_name] += 1
        self.probability[prediction.class_name] += prediction.probability
        self.histogram[min(BINS - 1, int(prediction.probability * BINS))] += 1


def read_summary(target: Store, plan: PredictionPlan) -> PredictionSummary | None:
    """The summary of this plan; None where the job is not finished."""
    try:
        summary: PredictionSummary = json.loads(target.get(keys.SUMMARY))
    except (FileNotFoundError, ValueError):
        return None
    return summary if summary.get("plan") == plan.digest else None


def write_summary(
    source: ImageSource, target: Store, plan: PredictionPlan, format: PredictionFormat, *, new: int, job: str
) -> PredictionSummary:
    """Counts all parts, and writes the files for people. Every image of the plan is either predicted or in
    errors.jsonl. `new` images were added after the plan; `job` is recorded.

    Raises RunError where a part has predictions of images that it should not have.
    """
    counts = Counts()
    every = max(1, plan.parts // SAMPLES)
    results: list[str] = []
    for number, predictions in _parts(target, plan, format):
        _count(source, target, plan, number, predictions, counts)
        if number % every == 0 and len(counts.samples) < SAMPLES:
            step = max(1, len(predictions) * plan.parts // SAMPLES)
            counts.samples += predictions[::step][: SAMPLES - len(counts.samples)]
        if format == "json":
            results += [forms.result(prediction) for prediction in predictions]
    summary = _summary(target, plan, format, counts, new, job)
    if format == "json":
        target.put(keys.RESULTS, ("[\n" + ",\n".join(results) + "\n]\n").encode())
    target.put(keys.ERRORS, forms.lines(counts.errors))
    target.put(keys.PAGE, page(source, summary, counts.samples, counts.errors))
    target.put(keys.SUMMARY, json.dumps(summary, indent=1, ensure_ascii=False).encode())
    return summary


def _parts(
    target: Store, plan: PredictionPlan, format: PredictionFormat
) -> Iterator[tuple[int, list[Prediction]]]:
    with ThreadPoolExecutor(READERS, "read") as pool:
        for start in range(0, plan.parts, 2 * READERS):
            numbers = range(start, min(plan.parts, start + 2 * READERS))
            data = pool.map(
                lambda number: target.get(keys.predictions(number, forms.suffix(format))), numbers
            )
            yield from ((n, list(forms.loads(part, format))) for n, part in zip(numbers, data, strict=True))


def _count(
    source: ImageSource,
    target: Store,
    plan: PredictionPlan,
    number: int,
    predictions: Sequence[Prediction],
    counts: Counts,
) -> None:
    remaining = {image.key: image.problem for image in plan.part(target, number)}
    for prediction in predictions:
        if remaining.pop(prediction.image, None) is None:
            raise RunError(
                f"{target.url}: part {number} has {prediction.image!r} twice, or of another part",
                "Delete this part and restart the job",
            )
        counts.add(prediction, source.label(prediction.image))
    if remaining:
        reasons = {row["image"]: row["error"] for row in read_errors(target, number)}
        counts.errors += [
            {"image": key, "error": problem or reasons.get(key, _UNKNOWN)}
            for key, problem in remaining.items()
        ]


def _summary(
    target: Store, plan: PredictionPlan, format: PredictionFormat, counts: Counts, new: int, job: str
) -> PredictionSummary:
    predicted = counts.classes.total()
    return {
        "version": VERSION,
        "plan": plan.digest,
        **cast(PredictionBinding, {**plan.bound, "format": format}),
        "output": target.url,
        "trainer": __version__,
        "listed": plan.images + sum(plan.ignored.values()),
        "images": plan.images,
        "predicted": predicted,
        "failed": len(counts.errors),
        "ignored": sum(plan.ignored.values()),
        "ignored_by": dict(plan.ignored),
        "failed_by": dict(Counter(_kind(row["error"]) for row in counts.errors).most_common(20)),
        "parts": plan.parts,
        "mean_probability": round(sum(counts.probability.values()) / predicted, 6) if predicted else None,
        "probabilities": counts.histogram,
        "accuracy": _accuracy(counts.confusion),
        "confusion": {label: dict(row) for label, row in counts.confusion.items()},
        "classes": _classes(counts),
        "new": new,
        "job": job,
    }


def _classes(counts: Counts) -> dict[str, PredictedClass]:
    return {
        name: {"images": count, "mean_probability": round(counts.probability[name] / count, 6)}
        for name, count in counts.classes.most_common()
    }


def _accuracy(confusion: Mapping[str, Mapping[str, int]]) -> float | None:
    """The fraction of images that are predicted as their class in the source, None where it has none."""
    total = sum(sum(row.values()) for row in confusion.values())
    right = sum(row.get(label, 0) for label, row in confusion.items())
    return round(right / total, 6) if total else None


def _kind(error: str) -> str:
    """The first words of a reason, without what is particular to one image."""
    return error.partition(" (")[0].partition(":")[0].partition(";")[0]
