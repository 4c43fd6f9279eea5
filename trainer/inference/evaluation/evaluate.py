"""`trainer evaluate`: a run's weights on a split of its dataset, or of another one."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from trainer.dataset.images import decode_image
from trainer.dataset.index import Dataset, Split, open_dataset
from trainer.dataset.reader import Reader
from trainer.errors import ConfigError, DataError
from trainer.inference.evaluation.changes import changes
from trainer.inference.evaluation.tally import Tally, most_confused, of_classes
from trainer.inference.network import Network, of_run
from trainer.observability.tensorflow_import import quiet_tensorflow_import, require_tensorflow
from trainer.runs import layout
from trainer.runs.document import read_finished
from trainer.storage import Store, open_store

VERSION = 1
BUDGET_BYTES = 256 << 20
LARGE_GAP, PAIRED_UNTIL = 0.1, 0.7
"""The rule of thumb of the Stanford Cars document, 2.2.1: training and validation accuracy stay paired until
0.7, and are not much more than 0.1 apart then."""

Progress = Callable[[int, int], None]


def evaluate(
    url: str,
    split_name: str,
    which: layout.Which,
    *,
    dataset_url: str | None = None,
    sensitivity: bool = False,
    batch_size: int = 64,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Each row of the split once -> what docs/json.md describes; also written into the run's folder.

    Raises DataError where there is no run, split, or weights, ConfigError for a dataset of other classes.
    """
    require_tensorflow()
    store = open_store(url)
    network = of_run(url, which)
    run = network.run
    dataset = open_dataset(dataset_url or run.config.data.url)
    split = dataset.split(split_name)
    if tuple(dataset.classes) != tuple(run.classes):
        raise ConfigError(
            f"{dataset.url} has {len(dataset.classes)} classes, and not the {len(run.classes)} of the run",
            "Name a dataset with the same classes in the same order",
        )
    if not split.rows:
        raise DataError(f"{dataset.url}: the split {split_name!r} has no rows", "Name another split")
    tally, parameters, changed = _tally(network, dataset, split, sensitivity, batch_size, progress)
    found = {
        "version": VERSION,
        "run": store.url,
        "weights": which,
        "weights_sha256": network.weights_sha256,
        "dataset": {"url": dataset.url, "identity": dataset.identity, "split": split_name},
        "parameters": parameters,
        **_figures(tally, tuple(run.classes)),
        "sensitivity": changed,
        "warnings": _warnings(store),
    }
    if dataset_url is None:
        key = layout.evaluation(split_name, which)
        store.put(key, json.dumps(found, indent=1, ensure_ascii=False).encode())
        found["written"] = f"{store.url}/{key}"
    return found


def _tally(
    network: Network,
    dataset: Dataset,
    split: Split,
    sensitivity: bool,
    batch_size: int,
    progress: Progress,
) -> tuple[Tally, int, dict[str, float]]:
    with quiet_tensorflow_import():
        from trainer.inference.predictor import Predictor

    run = network.run
    predictor = Predictor(network, batch_size)
    tally = Tally(len(run.classes))
    others = changes(run.prepared_shape) if sensitivity else {}
    right = dict.fromkeys(others, 0)
    reader = Reader(dataset, split, budget_bytes=BUDGET_BYTES)
    for batch in reader.batches_of(range(split.rows), batch_size):
        images = batch.images
        if dataset.image_shape != run.prepared_shape:
            size = run.prepared_shape[:2]
            images = np.stack([decode_image(image, size, resize=run.resize) for image in images])  # type: ignore[arg-type]
        probabilities = predictor.probabilities(images)
        if not np.isfinite(probabilities).all():
            raise DataError("The network's probabilities are not finite", "Evaluate other weights of the run")
        labels = split.labels[tally.rows : tally.rows + len(images)]
        tally.add(probabilities, labels, tally.rows)
        for name, change in others.items():
            found = predictor.probabilities(np.ascontiguousarray(change(images))).argmax(1)
            right[name] += int((found == labels).sum())
        progress(tally.rows, split.rows)
    return tally, predictor.parameters, {name: round(n / split.rows, 6) for name, n in right.items()}


def _figures(tally: Tally, names: tuple[str, ...]) -> dict[str, Any]:
    worst = [
        {
            "row": mistake.row,
            "class": names[mistake.label],
            "predicted": names[mistake.predicted],
            "probability": round(mistake.probability, 6),
        }
        for mistake in tally.worst
    ]
    return {
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
            for of in of_classes(tally.confusion, names)
        ],
        "confusion": tally.confusion.tolist(),
        "most_confused": [
            {"class": label, "predicted": predicted, "rows": rows}
            for label, predicted, rows in most_confused(tally.confusion, names)
        ],
        "misclassified": worst,
    }


def _warnings(store: Store) -> list[str]:
    finished = read_finished(store)
    if finished is None:
        return ["the run is not finished: its weights may still change"]
    metrics = finished.published.metrics
    training, validation = metrics.get("accuracy"), metrics.get("val_accuracy")
    if training is None or validation is None or training - validation <= LARGE_GAP:
        return []
    gap = f"the training accuracy {training:.3f} is {training - validation:.3f} above the validation's"
    if training > PAIRED_UNTIL and validation > PAIRED_UNTIL:
        return [f"{gap}: more than {LARGE_GAP} is much, also above {PAIRED_UNTIL}"]
    return [f"{gap}: the network overfits (more data, augmentation, dropout or fewer epochs help)"]
