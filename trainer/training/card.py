"""`card.md`, what a person who downloads a run's weights wants to know, and `classes.json` beside it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from trainer.training.plan import Plan

LEAST_STD = 1e-6
SHOWN_CLASSES = 5

Pixels = tuple[Sequence[float], Sequence[float]]
"""Mean and deviation for each channel, in 0..255, of the training images."""

STANDARDIZE: dict[str, Callable[[Pixels], str]] = {
    "none": lambda _: "image",
    "x/255": lambda _: "image / 255",
    "x/127.5-1": lambda _: "image / 127.5 - 1",
    "per_image": lambda _: "tf.image.per_image_standardization(image)",
    "feature_wise": lambda p: f"(image - {list(p[0])}) / {[s + LEAST_STD for s in p[1]]}",
    "caffe": lambda _: "image[..., ::-1] - [103.939, 116.779, 123.68]",
    "torch": lambda _: "(image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]",
}
"""`data.standardize` -> the same in Python, of a float32 tensor `image` (height, width, channels)."""


@dataclass(frozen=True)
class Results:
    """What a run came to.

    `history` is a mapping of figures for each epoch; `best_epoch` counts from 0; `test` are the last weights'
    figures on the test split, where there is one.
    """

    history: Sequence[Mapping[str, float]]
    best_epoch: int | None = None
    test: Mapping[str, float] = field(default_factory=dict)


def card(plan: Plan, results: Results, versions: Mapping[str, str]) -> bytes:
    """A run's card, in Markdown."""
    config, dataset = plan.config, plan.dataset
    height, width, channels = plan.image_shape
    rows = ", ".join(f"{name} {split.rows:,}" for name, split in dataset.splits.items())
    shown = ", ".join(dataset.classes[:SHOWN_CLASSES])
    more = len(dataset.classes) - SHOWN_CLASSES
    facts = {
        "run": config.run.url,
        "network": config.model.name,
        "dataset": dataset.url,
        "dataset's SHA-256": dataset.identity,
        "images": rows,
        "classes": f"{len(dataset.classes)}: {shown}" + (f" and {more} more, see classes.json" * (more > 0)),
        "image": f"{height} x {width} x {channels}, standardized `{config.data.standardize}`",
    }
    recipe = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    parts = [
        f"# {config.model.name}, {len(dataset.classes)} classes",
        _table(("", ""), facts.items()),
        "## Figures",
        _figures(results, config.run.monitor),
        "## Load and predict",
        f"```python\n{usage(plan)}```",
        "## Recipe",
        f"```yaml\n{recipe}```",
        "## Made with",
        _table(("package", "version"), versions.items()),
    ]
    return ("\n\n".join(parts) + "\n").encode()


def usage(plan: Plan) -> str:
    """Six lines of Python that name an image, with TensorFlow and Keras alone."""
    height, width, channels = plan.image_shape
    train = plan.dataset.split("train")
    standardized = STANDARDIZE[plan.config.data.standardize]((train.mean, train.std))
    return (
        "import json, keras, tensorflow as tf\n"
        'model, classes = keras.saving.load_model("model.keras"), json.load(open("classes.json"))\n'
        f'image = tf.io.decode_image(tf.io.read_file("image.jpg"), {channels}, expand_animations=False)\n'
        f"image = tf.image.resize(image, ({height}, {width}), antialias=True)\n"
        f"probabilities = model.predict(({standardized})[None])[0]\n"
        "print(classes[probabilities.argmax()], probabilities.max())\n"
    )


def classes_json(classes: Sequence[str]) -> bytes:
    """The names of a network's classes, in the order of its probabilities, as a JSON list."""
    return json.dumps(list(classes), ensure_ascii=False, indent=1).encode()


def _figures(results: Results, monitor: str) -> str:
    history = results.history
    rows: list[tuple[str, Mapping[str, float], str]] = []
    if results.best_epoch is not None:
        files = "best.weights.h5, model.keras"
        rows.append((f"best by {monitor}: {results.best_epoch + 1}", history[results.best_epoch], files))
    if history:
        rows.append((f"last: {len(history)}", {**history[-1], **results.test}, "last.weights.h5"))
    names = list(dict.fromkeys(name for _, figures, _ in rows for name in figures))
    lines = [
        (epoch, *(f"{figures[name]:.4g}" if name in figures else "" for name in names), files)
        for epoch, figures, files in rows
    ]
    return _table(("epoch", *names, "in"), lines) + "\n\nEvery epoch is in metrics.csv, counted from 0."


def _table(header: Sequence[Any], rows: Any) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    return " ".join(str(value).replace("|", "\\|").split())
