"""evaluation/SPLIT-WHICH.json: what docs/json.md describes."""

import json
from dataclasses import dataclass

from trainer.dataset.dataset import Dataset
from trainer.evaluation.tally import Tally, metrics_per_class, most_confused
from trainer.runs.documents.evaluation_values import EvaluationDocument, Sensitivity
from trainer.runs.layout import WeightsName
from trainer.runs.run_document import RunResult

VERSION = 1
LARGE_GAP, PAIRED_UNTIL = 0.1, 0.7
"""The rule of thumb of the Stanford Cars document, 2.2.1: training and validation accuracy stay paired until
0.7, and are not much more than 0.1 apart then."""


@dataclass(frozen=True)
class Evaluated:
    """The evaluated weights and split; `parameters` are those of the network."""

    run: str
    weights: WeightsName
    weights_sha256: str
    dataset: Dataset
    split: str
    parameters: int


def evaluation_document(
    evaluated: Evaluated, tally: Tally, *, finished: RunResult | None, sensitivity: Sensitivity | None = None
) -> EvaluationDocument:
    """The document; `finished` is how the run ended, None while it has not."""
    dataset, names = evaluated.dataset, tuple(evaluated.dataset.classes)
    return {
        "version": VERSION,
        "run": evaluated.run,
        "weights": evaluated.weights,
        "weights_sha256": evaluated.weights_sha256,
        "dataset": {"url": dataset.url, "identity": dataset.identity, "split": evaluated.split},
        "parameters": evaluated.parameters,
        "rows": tally.rows,
        "loss": round(tally.loss / tally.rows, 6),
        "top1": round(tally.top1, 6),
        "top5": round(tally.top5 / tally.rows, 6) if tally.classes > 5 else None,
        "calibration_error": round(tally.calibration_error, 6),
        "calibration": [
            {"rows": int(rows), "probability": round(p / rows, 6), "accuracy": round(right / rows, 6)}
            if rows
            else None
            for rows, p, right in tally.bins
        ],
        "classes": [
            {
                "class": of.name,
                "rows": of.rows,
                "precision": None if of.precision is None else round(of.precision, 6),
                "recall": None if of.recall is None else round(of.recall, 6),
                "f1": round(of.f1, 6),
            }
            for of in metrics_per_class(tally.confusion, names)
        ],
        "confusion": tally.confusion.tolist(),
        "most_confused": [
            {"class": label, "predicted": predicted, "rows": rows}
            for label, predicted, rows in most_confused(tally.confusion, names)
        ],
        "misclassified": [
            {
                "row": mistake.row,
                "class": names[mistake.label],
                "predicted": names[mistake.predicted],
                "probability": round(mistake.probability, 6),
            }
            for mistake in tally.worst
        ],
        "sensitivity": sensitivity,
        "warnings": [*_no_test(evaluated), *_warnings(finished)],
    }


def dump_evaluation(document: EvaluationDocument) -> bytes:
    """The JSON text."""
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


def _no_test(evaluated: Evaluated) -> list[str]:
    if evaluated.split != "validation" or "test" in evaluated.dataset.splits:
        return []
    return [
        "there is no test split: these are the validation images, by which the best weights were chosen, so "
        "new images may be classified less well"
    ]


def _warnings(finished: RunResult | None) -> list[str]:
    if finished is None:
        return ["the run is not finished: its weights may still change"]
    metrics = finished.published.metrics
    training, validation = metrics.get("accuracy"), metrics.get("val_accuracy")
    if training is None or validation is None or training - validation <= LARGE_GAP:
        return []
    gap = f"the training accuracy {training:.3f} is {training - validation:.3f} higher than in validation"
    if training > PAIRED_UNTIL and validation > PAIRED_UNTIL:
        return [f"{gap}: a large gap, although both are above {PAIRED_UNTIL}"]
    return [f"{gap}: the network overfits (more data, augmentation, dropout or fewer epochs help)"]
