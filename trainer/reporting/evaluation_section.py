"""What a report shows of one evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.output.html.charts import Chart, rounded
from trainer.output.html.confusion import ConfusionMatrix, confusion_matrix
from trainer.reporting.intervals import interval_95
from trainer.runs.documents.changed_values import ChangedDocument
from trainer.runs.documents.evaluation_values import CalibrationBin, EvaluatedClass, EvaluationDocument

MIN_ROWS_OF_A_BIN = 30
"""Bins of the calibration with fewer images are merged with their neighbours: their fraction is noise."""
MAX_CONFUSED_SHOWN = 20


@dataclass(frozen=True)
class ChangedRow:
    """A row of the table of changed images: `images` are `data:` URLs, `points` the difference of top 1."""

    name: str
    top1: str
    points: str
    top5: str
    loss: str
    images: Sequence[str] = ()


@dataclass(frozen=True)
class EvaluationSection:
    """The values of the sections of a page for one evaluation."""

    title: str
    split: str
    warnings: Sequence[str]
    facts: Sequence[tuple[str, str]]
    matrix: ConfusionMatrix
    confused: Sequence[tuple[str, str, str, str]]
    calibration: Chart | None
    bins: Sequence[tuple[str, str, str]]
    classes: Sequence[tuple[str, ...]]
    sensitivity: Sequence[ChangedRow]


def evaluation_section(
    found: EvaluationDocument, changed: ChangedDocument | None = None
) -> EvaluationSection:
    """The document, as a page shows it; classes with the lowest F1 first. `changed`: images that may be of
    this evaluation."""
    facts = {"images": f"{found['rows']:,}", "loss": f"{found['loss']:.4f}", "top 1": f"{found['top1']:.4f}"}
    if found["top5"] is not None:
        facts["top 5"] = f"{found['top5']:.4f}"
    facts["calibration error"] = f"{found['calibration_error']:.4f}"
    rows = {one["class"]: one["rows"] for one in found["classes"]}
    bins = merged([one for one in found["calibration"] if one])
    return EvaluationSection(
        title=f"{found['dataset']['split']}, {found['weights']} weights",
        split=found["dataset"]["split"],
        warnings=found["warnings"],
        facts=list(facts.items()),
        matrix=confusion_matrix(np.array(found["confusion"]), [one["class"] for one in found["classes"]]),
        confused=[
            (
                one["class"],
                one["predicted"],
                f"{one['rows']:,}",
                f"{one['rows'] / rows[one['class']]:.1%}" if rows.get(one["class"]) else "-",
            )
            for one in found["most_confused"][:MAX_CONFUSED_SHOWN]
        ],
        calibration=_calibration(bins),
        bins=[(f"{one['probability']:.1%}", f"{one['accuracy']:.1%}", f"{one['rows']:,}") for one in bins],
        classes=[_class_row(one) for one in sorted(found["classes"], key=_worst)],
        sensitivity=_changed_rows(found, changed),
    )


def _changed_rows(found: EvaluationDocument, changed: ChangedDocument | None) -> list[ChangedRow]:
    """The unchanged images, then each change."""
    if not found["sensitivity"]:
        return []
    images = _images_of(found, changed)
    rows = [("unchanged", found["top1"], found["top5"], found["loss"])]
    rows += [
        (one["change"], one["top1"], one["top5"], one["loss"]) for one in found["sensitivity"]["changes"]
    ]
    return [
        ChangedRow(
            name,
            f"{top1:.1%}",
            f"{100 * (top1 - found['top1']):+.1f}" if number else "",
            "-" if top5 is None else f"{top5:.1%}",
            f"{loss:.4f}",
            images.get(name, ()),
        )
        for number, (name, top1, top5, loss) in enumerate(rows)
    ]


def _images_of(found: EvaluationDocument, changed: ChangedDocument | None) -> dict[str, Sequence[str]]:
    place = found["dataset"]
    bound = (place["identity"], place["split"], found["weights_sha256"])
    if not changed or bound != (changed["dataset"], changed["split"], changed["weights_sha256"]):
        return {}
    return {one["change"]: one["images"] for one in changed["changes"]}


def merged(bins: Sequence[CalibrationBin], least: int = MIN_ROWS_OF_A_BIN) -> list[CalibrationBin]:
    """Neighbouring bins joined until each has `least` rows; [] where there are not as many in all."""
    joined: list[CalibrationBin] = []
    for one in bins:
        if joined and joined[-1]["rows"] < least:
            joined[-1] = _join(joined[-1], one)
        else:
            joined.append(one)
    if len(joined) > 1 and joined[-1]["rows"] < least:
        last = joined.pop()
        joined[-1] = _join(joined[-1], last)
    return [one for one in joined if one["rows"] >= least]


def _join(a: CalibrationBin, b: CalibrationBin) -> CalibrationBin:
    rows = a["rows"] + b["rows"]
    return {
        "rows": rows,
        "probability": (a["rows"] * a["probability"] + b["rows"] * b["probability"]) / rows,
        "accuracy": (a["rows"] * a["accuracy"] + b["rows"] * b["accuracy"]) / rows,
    }


def _calibration(bins: Sequence[CalibrationBin]) -> Chart | None:
    """None with fewer than two bins, which say nothing."""
    if len(bins) < 2:
        return None
    points, words = [], []
    for one in bins:
        low, high = interval_95(one["accuracy"] * one["rows"], one["rows"])
        figures = {"probability": one["probability"], "accuracy": one["accuracy"], "low": low, "high": high}
        points.append({"rows": one["rows"], **{name: rounded(value) for name, value in figures.items()}})
        words.append(f"{one['accuracy']:.0%} right at {one['probability']:.0%}")
    return Chart(
        "calibration",
        "Is it right as often as it says?",
        f"Calibration: of images with about the same probability, {', '.join(words)}",
        {"bins": points},
    )


def _worst(one: EvaluatedClass) -> tuple[bool, float]:
    return one["rows"] == 0, one["f1"]


def _class_row(one: EvaluatedClass) -> tuple[str, ...]:
    figures = (one["precision"], one["recall"], one["f1"])
    return (one["class"], f"{one['rows']:,}", *("-" if f is None else f"{f:.3f}" for f in figures))
