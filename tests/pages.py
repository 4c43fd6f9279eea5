"""Each HTML page with names that the caller chooses wherever a page has a name."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from trainer.config.load import load
from trainer.dataset.inspection.augmentation_sheet import AugmentedRow, html_sheet
from trainer.inference.forms import Prediction, ReadError
from trainer.inference.results import summary_page as summaries
from trainer.inference.results.prediction_summary import PredictionSummary
from trainer.inference.sources.image import ImageSource
from trainer.reporting import compare
from trainer.reporting import known as reports
from trainer.reporting.comparison_page import RunDetails, comparison_page
from trainer.reporting.heat_map import HeatMap
from trainer.reporting.report_page import page
from trainer.runs.documents.evaluation_values import EvaluationDocument
from trainer.runs.run_document import Reached, RunDocument, RunResult
from trainer.runs.timing import EpochTiming

PIXELS: NDArray[np.uint8] = np.zeros((8, 8, 3), np.uint8)


def report_page(names: Sequence[str]) -> str:
    """Of a finished run that was restarted, with an evaluation, images and mistakes."""
    config = load(recipe="digits", overrides=["data.url=/data", "run.url=/run"])
    reached = Reached(4, {"loss": 0.5, "val_accuracy": 0.9})
    known = reports.Known(
        f"s3://bucket/{names[0]}",
        RunDocument({}, config, names, (8, 8, 3), {}),
        {"url": names[1], "shape": names[2]},
        [{"loss": 1.0 / (epoch + 1), "val_loss": 1.0, names[3]: 1.0} for epoch in range(4)],
        RunResult(4, 400, False, reached, reached),
        [evaluation(names)],
        [reports.Picture(PIXELS, name, name=name) for name in names],
        [reports.Picture(PIXELS, name, names[-i - 1], 0.98, name) for i, name in enumerate(names)],
        [EpochTiming(epoch, 1 + (epoch > 1), 2, 100, 5.0, 0.5, 4.0, 0.25, 0.125) for epoch in range(4)],
        {names[4]: names[5]},
        {"test": 1234},
        [
            reports.PicturedPair(name, names[-i - 1], 3, [reports.Picture(PIXELS, name)], [])
            for i, name in enumerate(names)
        ],
        [HeatMap(PIXELS, PIXELS[..., 0], name, names[-i - 1], 0.5, name) for i, name in enumerate(names)],
        0.0,
        90.0,
    )
    return page(known).decode()


def evaluation(names: Sequence[str]) -> EvaluationDocument:
    """A document of `trainer evaluate`."""
    count = len(names)
    return {
        "version": 1,
        "run": names[0],
        "weights": "best",
        "weights_sha256": "cd" * 32,
        "dataset": {"url": names[0], "identity": "", "split": "test"},
        "parameters": 1234,
        "misclassified": [],
        "rows": 1234,
        "loss": 0.5,
        "top1": 0.9,
        "top5": 0.99,
        "calibration_error": 0.01,
        "sensitivity": {
            "seed": 1,
            "changes": [{"change": "turned by 90 degrees", "top1": 0.5, "top5": 0.7, "loss": 1.25}],
        },
        "classes": [
            {"class": name, "rows": 12, "precision": 0.5, "recall": None, "f1": 0.0} for name in names
        ],
        "warnings": [f"the network {name}" for name in names],
        "calibration": [{"rows": 3, "probability": 0.5, "accuracy": 0.4}, None],
        "most_confused": [
            {"class": name, "predicted": names[-i - 1], "rows": 5} for i, name in enumerate(names)
        ],
        "confusion": (np.eye(count, dtype=int) * 40 + np.eye(count, k=1, dtype=int)).tolist(),
    }


class Images:
    """A source of images that are all black."""

    def show(self, key: str) -> NDArray[np.uint8]:
        return PIXELS

    def name(self, key: str) -> str:
        return key

    def label(self, key: str) -> str:
        return key


def summary_page(names: Sequence[str]) -> str:
    """Of a job with a sample and an error for each name."""
    summary: PredictionSummary = {
        "version": 1,
        "plan": "",
        "trainer": "",
        "listed": 1238,
        "failed_by": {},
        "parts": 1,
        "mean_probability": 0.5,
        "confusion": {name: {name: 3} for name in names},
        "new": 0,
        "job": "",
        "part_size": 1000,
        "format": "jsonl",
        "image_shape": [8, 8, 3],
        "prepared": {},
        "standardize": "none",
        "pixels": {},
        "classes_sha256": "",
        "images": 1234,
        "predicted": 1200,
        "failed": len(names),
        "accuracy": 0.5,
        "ignored": 4,
        "ignored_by": {"suffix": 4},
        "run": names[0],
        "weights": "best",
        "weights_sha256": "cd" * 32,
        "input": names[1],
        "output": names[2],
        "classes": {name: {"images": 100 + i, "mean_probability": 0.5} for i, name in enumerate(names)},
        "probabilities": list(range(10)),
    }
    samples = [Prediction(f"folder/{name}", i, name, 0.91) for i, name in enumerate(names)]
    errors: list[ReadError] = [{"image": name, "error": f"not an image: {name}"} for name in names]
    return summaries.page(cast(ImageSource, Images()), summary, samples, errors).decode()


def augmentation_page(names: Sequence[str]) -> str:
    """`trainer augment`, with an image of each class."""
    rows = [AugmentedRow(number, name, name, [PIXELS, PIXELS]) for number, name in enumerate(names)]
    return html_sheet(rows, [0], names[1], f"s3://b/{names[0]}").decode()


def comparison_text(names: Sequence[str]) -> str:
    """`trainer compare --format html`, with a run for each name."""
    unknown = cast(compare.ComparedRun, dict.fromkeys(compare.COLUMNS))
    rows: list[compare.ComparedRun] = [
        {**unknown, "run": name, "network": name, "image size": "8x8", "split": "test", "remark": name}
        for name in names
    ]
    details = [
        RunDetails(f"s3://b/{name}", [{names[0]: 0.5, "val_accuracy": 0.5}], {name: name}, "file:///r")
        for name in names
    ]
    return comparison_page(rows, details).decode()
