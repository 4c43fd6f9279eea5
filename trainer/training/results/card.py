"""The model card: for people who download the weights of a run."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import yaml

from trainer.dataset.pipeline import snippet
from trainer.dataset.pipeline.standardize import ChannelStatistics
from trainer.images.codec import Resize
from trainer.runs import layout
from trainer.runs.history import metric_of
from trainer.runs.run_document import RunDocument, RunResult
from trainer.training.run_plan import RunPlan

SHOWN_CLASSES = 5
CLASSES = layout.file_name(layout.CLASSES)
KERAS_MODEL = layout.file_name(layout.KERAS_MODEL)
EVERY_EPOCH = f"Every epoch is in {layout.METRICS}, counted from 0 as Keras's CSVLogger does."
_IMPORTS = """\
import json
from pathlib import Path

import keras
import numpy as np
from PIL import Image, ImageOps
"""
_CLASSIFYING = f"""\
model = keras.saving.load_model("{KERAS_MODEL}")
classes = json.load(open("{CLASSES}", encoding="utf-8"))
files = [Path("image.jpg")]  # all of a folder: sorted(Path("folder").glob("*.jpg"))
probabilities = model.predict(np.stack([read(file) for file in files]))
for file, row in zip(files, probabilities):
    print(file, classes[row.argmax()], row.max())
"""
BEST, LAST = (layout.file_name(layout.weights(which)) for which in ("best", "last"))


def card(plan: RunPlan, finished: RunResult, versions: Mapping[str, str]) -> bytes:
    """A run's card, in Markdown."""
    config, dataset = plan.config, plan.dataset
    height, width, channels = plan.image_shape
    rows = ", ".join(f"{name} {split.rows:,}" for name, split in dataset.splits.items())
    names = ", ".join(dataset.classes[:SHOWN_CLASSES])
    more = len(dataset.classes) - SHOWN_CLASSES
    facts = {
        "run": config.run.url,
        "network": config.model.name,
        "dataset": dataset.url,
        "dataset's SHA-256": dataset.identity,
        "images": rows,
        "classes": f"{len(dataset.classes)}: {names}" + (f" and {more} more, see {CLASSES}" * (more > 0)),
        "image": f"{height} x {width} x {channels}, standardized `{config.data.standardize}`",
    }
    recipe = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    parts = [
        f"# {config.model.name}, {len(dataset.classes)} classes",
        _table(("", ""), facts.items()),
        "## Metrics",
        _metrics(finished, config.run.monitor),
        "## Load and predict",
        f"```python\n{usage(plan.document)}```",
        "## Recipe",
        f"```yaml\n{recipe}```",
        "## Made with",
        _table(("package", "version"), versions.items()),
    ]
    return ("\n\n".join(parts) + "\n").encode()


def usage(run: RunDocument) -> str:
    """Python that classifies images as `trainer predict` does, with Keras, NumPy and Pillow."""
    reading = snippet.read(
        run.prepared_shape,
        cast(Resize, run.resize),
        run.image_shape,
        run.config.data.standardize,
        ChannelStatistics(**run.pixels),
        jpeg=run.encoding == "jpeg",
    )
    imports = ("import io\n" if run.encoding == "jpeg" else "") + _IMPORTS
    return f"{imports}\n\n{reading}\n\n{_CLASSIFYING}"


def _metrics(finished: RunResult, monitor: str) -> str:
    last = finished.last
    rows = [
        (
            f"last: {finished.epoch_of(last)}",
            last.metrics,
            LAST if finished.best else f"{LAST}, {KERAS_MODEL}",
        )
    ]
    if best := finished.best:
        metric = metric_of(monitor, validated=monitor in best.metrics)
        rows.insert(
            0, (f"best by {metric}: {finished.epoch_of(best)}", best.metrics, f"{BEST}, {KERAS_MODEL}")
        )
    names = list(dict.fromkeys(name for _, metrics, _ in rows for name in metrics))
    lines = [
        (epoch, *(f"{metrics[name]:.4g}" if name in metrics else "" for name in names), files)
        for epoch, metrics, files in rows
    ]
    table = _table(("epoch", *names, "in"), lines)
    text = f"{table}\n\nEach line is of the weights in its files, epochs counted from 1. {EVERY_EPOCH}"
    return text if any(name.startswith("test_") for name in names) else f"{text}\n\n{_untested(names)}"


def _untested(names: Sequence[str]) -> str:
    """What the metrics without a test split say less."""
    if any(name.startswith("val_") for name in names):
        return (
            "There is no test split: the metrics that begin with `val_` are of the validation images, by "
            "which the best weights were chosen. New images may be classified less well."
        )
    return "There is neither a test nor a validation split: all metrics are of the training images."


def _table(header: Sequence[Any], rows: Any) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    return " ".join(str(value).replace("|", "\\|").replace("<", "&lt;").split())
