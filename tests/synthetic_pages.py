"""Reports, comparisons and summaries with as many classes as a test wants: what a trained run would give."""

from collections.abc import Sequence
from functools import cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from trainer.config.load import load
from trainer.evaluation.perturbations import standard_changes
from trainer.evaluation.sensitivity import SAMPLE_SIDE, SAMPLES
from trainer.evaluation.tally import CALIBRATION_BINS, metrics_per_class, most_confused
from trainer.inference.forms import Prediction, ReadError
from trainer.inference.results.prediction_summary import PredictionSummary
from trainer.inference.results.summary_page import page as summary_page
from trainer.inference.sources.image import ImageSource
from trainer.output.html.thumbnail import thumbnail
from trainer.reporting.compare import ComparedRun
from trainer.reporting.comparison_page import RunDetails, comparison_page
from trainer.reporting.heat_map import HeatMap
from trainer.reporting.known import Known, Picture, PicturedPair
from trainer.reporting.report_page import page
from trainer.runs.documents.changed_values import ChangedDocument
from trainer.runs.documents.evaluation_values import EvaluationDocument
from trainer.runs.run_document import Reached, RunDocument, RunResult
from trainer.runs.timing import EpochTiming

ROWS_OF_A_CLASS = 40
EPOCHS = 30
SHAPE = (224, 224, 3)


def names_of(classes: int) -> list[str]:
    """Names as long as those of car models."""
    makers = (
        "Acura",
        "Aston Martin",
        "Audi",
        "BMW",
        "Chevrolet",
        "Dodge",
        "Ford",
        "Hyundai",
        "Mercedes-Benz",
        "Tesla",
    )
    bodies = ("Sedan", "Coupe", "SUV", "Convertible", "Wagon", "Crew Cab", "Hatchback")
    return [
        f"{makers[i % len(makers)]} {chr(65 + i % 26)}{i} {bodies[i % len(bodies)]} {2000 + i % 13}"
        for i in range(classes)
    ]


@cache
def confusion_of(classes: int) -> NDArray[np.int64]:
    """Most images are right; others go to classes of the same maker, and a few anywhere."""
    random = np.random.default_rng(classes)
    counts = np.zeros((classes, classes), np.int64)
    for i in range(classes):
        right = random.binomial(ROWS_OF_A_CLASS, random.beta(12, 3))
        counts[i, i] = right
        near = [j for j in range(i % 10, classes, 10) if j != i][:4] or [(i + 1) % classes]
        for _ in range(ROWS_OF_A_CLASS - right):
            counts[i, random.choice(near) if random.random() < 0.8 else random.integers(classes)] += 1
    return counts


def evaluation_of(classes: int, split: str = "test") -> EvaluationDocument:
    """A document of `trainer evaluate`."""
    confusion, names = confusion_of(classes), tuple(names_of(classes))
    rows, right = int(confusion.sum()), int(np.trace(confusion))
    wrong = [(i, j) for i, j in np.argwhere(confusion).tolist() if i != j]
    shares = np.linspace(0.2, 1, CALIBRATION_BINS) ** 3
    counts = np.rint(rows * shares / shares.sum()).astype(int)
    middles = (np.arange(CALIBRATION_BINS) + 0.5) / CALIBRATION_BINS
    return {
        "version": 1, "run": "file:///runs/cars", "weights": "best", "weights_sha256": "cd" * 32,
        "dataset": {"url": "file:///data/cars", "identity": "ab" * 32, "split": split},
        "parameters": 23_910_152, "rows": rows, "loss": 0.61, "top1": right / rows,
        "top5": min(1.0, right / rows + 0.12) if classes > 5 else None,
        "calibration_error": 0.041,
        "calibration": [
            {"rows": int(n), "probability": float(p), "accuracy": float(p - 0.08 * np.sin(3 * p))}
            if n
            else None
            for n, p in zip(counts, middles, strict=True)
        ],
        "classes": [
            {
                "class": one.name, "rows": one.rows, "precision": one.precision, "recall": one.recall,
                "f1": one.f1,
            }
            for one in metrics_per_class(confusion, names)
        ],
        "confusion": confusion.tolist(),
        "most_confused": [
            {"class": a, "predicted": b, "rows": n} for a, b, n in most_confused(confusion, names)
        ],
        "misclassified": [
            {"row": row, "class": names[i], "predicted": names[j], "probability": 0.99 - row / 1000}
            for row, (i, j) in enumerate(wrong[:100])
        ],
        "sensitivity": {
            "seed": 1,
            "changes": [
                {"change": change.name, "top1": 0.5 * right / rows, "top5": 0.6, "loss": 2.2}
                for change in standard_changes(SHAPE, 1)
            ],
        },
        "warnings": ["the training accuracy 0.981 is 0.121 higher than in validation: a large gap"],
    }  # fmt: skip


def known_of(classes: int, photos: Sequence[NDArray[np.uint8]] = ()) -> Known:
    """A finished run that was restarted twice; `photos` are shown where a report shows images."""
    random, names = np.random.default_rng(1), names_of(classes)
    photos = photos or [random.integers(0, 255, (96, 128, 3), np.uint8) for _ in range(8)]
    config = load(
        recipe="digits",
        overrides=["data.url=/data/cars", "run.url=/runs/cars", "run.price={gpu_hour: 2.5, currency: EUR}"],
    )
    history = []
    for epoch in range(EPOCHS):
        done = 1 - np.exp(-epoch / 6)
        history.append(
            {
                "accuracy": 0.1 + 0.88 * done, "loss": 3.2 - 3 * done,
                "val_accuracy": 0.1 + 0.76 * done - 0.0004 * max(0, epoch - 20) ** 2 + random.normal(0, 8e-3),
                "val_loss": 3.2 - 2.5 * done + 0.0008 * max(0, epoch - 18) ** 2,
                "learning_rate": 0.01 if epoch < 20 else 0.001,
            }
        )  # fmt: skip
    timing = [
        EpochTiming(
            e,
            1 + (e > 8) + (e > 21),
            4,
            26_000,
            96 + random.normal(0, 2),
            4.0,
            80 + random.normal(0, 3),
            7.0,
            2.0,
            4,
            32.0,
        )
        for e in range(EPOCHS)
    ]
    reached = Reached(22, history[21])

    def photo(number: int) -> NDArray[np.uint8]:
        return photos[number % len(photos)]

    def picture(number: int, predicted: str | None = None, name: str = "") -> Picture:
        label = name or names[number % classes]
        return Picture(
            photo(number), label, predicted, 0.99 - number / 100, f"{label}/IMG_{1000 + number}.jpg"
        )

    evaluation = evaluation_of(classes)
    heat = np.rint(255 * np.exp(-((np.indices((7, 7)) - 3) ** 2).sum(0) / 6)).astype(np.uint8)
    return Known(
        "s3://bucket/runs/cars-196",
        RunDocument({}, config, names, SHAPE, {}),
        {"url": "s3://bucket/cars", "SHA-256": "ab" * 32, "shape": "224 x 224 x 3"},
        history,
        RunResult(EPOCHS, 12_000, False, reached, reached),
        [evaluation, evaluation_of(classes, "validation")],
        [picture(number) for number in range(24)],
        [
            picture(number, one["predicted"], one["class"])
            for number, one in enumerate(evaluation["misclassified"][:24])
        ],
        timing,
        {"cars-trainer": "0.2.0", "keras": "3.15.0"},
        {"train": 26_000, "validation": 5_600, "test": evaluation["rows"]},
        [
            PicturedPair(
                one["class"], one["predicted"], one["rows"],
                [picture(number + n, one["predicted"], one["class"]) for n in range(3)],
                [picture(number + n + 3, None, one["predicted"]) for n in range(3)],
            )
            for number, one in enumerate(evaluation["most_confused"][:8])
        ],
        [HeatMap(photo(n), heat, names[n % classes], names[n % 2], 0.93, f"IMG_{n}.jpg") for n in range(8)],
        1_790_000_000.0,
        1_790_010_800.0,
        changed_of(evaluation, [thumbnail(np.dstack([heat] * 3), SAMPLE_SIDE) for _ in range(SAMPLES)]),
    )  # fmt: skip


def changed_of(evaluation: EvaluationDocument, images: Sequence[str]) -> ChangedDocument:
    """The same images for each of its changes."""
    assert evaluation["sensitivity"]
    names = ["unchanged", *(one["change"] for one in evaluation["sensitivity"]["changes"])]
    return {
        "version": 1, "dataset": "ab" * 32, "split": "test", "weights_sha256": "cd" * 32,
        "changes": [{"change": name, "images": images} for name in names],
    }  # fmt: skip


def report_of(classes: int, photos: Sequence[NDArray[np.uint8]] = ()) -> bytes:
    """The report of such a run."""
    return page(known_of(classes, photos))


def comparison_of(runs: int, photos: object = None) -> bytes:
    """A comparison of this many runs; one of them was not evaluated."""
    rows: list[ComparedRun] = []
    details = []
    for number in range(runs):
        known = known_of(10)
        measured = number != 3
        rows.append(
            {
                "run": f"cars-resnet50-{number}",
                "network": "resnet50" if number % 2 else "keras:EfficientNetV2B0",
                "image size": f"{96 + 32 * number}x{96 + 32 * number}",
                "without pauses": 3000.0 + 1700 * ((number * 7) % 5), "gpu hours": 3.2, "core hours": 26.0,
                "cost": 8.0 + number, "currency": "EUR",
                "parameters": 23_910_152, "epoch": 22, "top 1": 0.71 + 0.031 * number if measured else None,
                "top 5": 0.93, "loss": 0.61, "split": "test", "time": 3600.0 + 1900 * ((number * 7) % 5),
                "remark": None if measured else "not evaluated: trainer evaluate s3://bucket/runs/cars",
            }
        )  # fmt: skip
        history = [
            {**row, "val_accuracy": row["val_accuracy"] * (0.8 + 0.04 * number)} for row in known.history
        ]
        config = {"train.optimizer.learning_rate": f"{0.1 / (1 + number):.3g}"}
        report = f"file:///runs/cars-{number}/report/index.html" if number else ""
        url = f"s3://bucket/runs/cars-resnet50-{number}"
        details.append(RunDetails(url, history, config, report, {"test": 1960}))
    return comparison_page(rows, details)


def summary_of(classes: int, photos: Sequence[NDArray[np.uint8]] = ()) -> bytes:
    """The summary of a prediction job on a split."""
    photos = photos or [np.full((96, 128, 3), 90, np.uint8)]
    names, counts = names_of(classes), confusion_of(classes)
    right = int(np.trace(counts))
    summary: PredictionSummary = {
        "version": 1, "plan": "", "trainer": "0.2.0", "listed": int(counts.sum()) + 40, "parts": 4,
        "failed_by": {"not an image": 3}, "mean_probability": 0.83, "new": 0, "job": "", "part_size": 1000,
        "format": "jsonl", "image_shape": [224, 224, 3], "prepared": {}, "standardize": "caffe", "pixels": {},
        "classes_sha256": "", "images": int(counts.sum()) + 3, "predicted": int(counts.sum()), "failed": 3,
        "accuracy": right / int(counts.sum()), "ignored": 37, "ignored_by": {"suffix": 37},
        "run": "s3://bucket/runs/cars-196", "weights": "best", "weights_sha256": "cd" * 32,
        "input": "s3://bucket/cars", "output": "s3://bucket/predictions",
        "confusion": {
            name: {names[j]: int(n) for j, n in enumerate(counts[i]) if n} for i, name in enumerate(names)
        },
        "classes": {
            names[j]: {"images": int(counts[:, j].sum()), "mean_probability": 0.6 + (j % 40) / 100}
            for j in np.argsort(-counts.sum(0), kind="stable").tolist()
        },
        "probabilities": [int(counts.sum() * share) for share in np.linspace(0, 0.2, 10)],
    }  # fmt: skip
    samples = [Prediction(f"folder/IMG_{n}.jpg", 0, names[n % classes], 0.99 - n / 50) for n in range(24)]
    errors: list[ReadError] = [
        {"image": f"folder/{n}.jpg", "error": "not an image (a text)"} for n in range(3)
    ]

    class Photos:
        def show(self, key: str) -> NDArray[np.uint8]:
            return photos[self._number(key) % len(photos)]

        def name(self, key: str) -> str:
            return key

        def label(self, key: str) -> str:
            return names[self._number(key) // 2 % classes]

        @staticmethod
        def _number(key: str) -> int:
            return int(key.partition("_")[2].partition(".")[0])

    return summary_page(cast(ImageSource, Photos()), summary, samples, errors)
