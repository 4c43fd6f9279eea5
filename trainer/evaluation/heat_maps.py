"""Grad-CAM (Selvaraju et al., 2017): where in a few images a network looked."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.dataset.dataset import Dataset, Split
from trainer.dataset.reading.reader import Reader
from trainer.errors import one_line
from trainer.runs.documents.evaluation_values import EvaluationDocument
from trainer.runs.documents.heat_values import VERSION, HeatDocument, heat_row

MISTAKES, RIGHT = 4, 4
"""Images that are shown: the most confident mistakes, and others."""

log = logging.getLogger(__name__)

Preprocess = Callable[[NDArray[np.uint8]], tf.Tensor]


def heat_document(
    model: keras.Model, preprocess: Preprocess, dataset: Dataset, evaluation: EvaluationDocument
) -> HeatDocument | None:
    """The maps of a few images of an evaluation of the model's weights; `preprocess` makes the model's input
    of uint8 (n, H, W, C).

    None where the network has no layer whose output is a map, such as a vision transformer. A failure is
    logged, and None too: the maps are only looked at.
    """
    split = dataset.split(evaluation["dataset"]["split"])
    rows = chosen(split, evaluation)
    try:
        images = np.concatenate(list(_images(dataset, split, rows)))
        probabilities, heat = grad_cam(model, preprocess(images))
    except Exception as error:  # a network of the user's own can do anything
        log.warning("the report has no heat maps: %s", one_line(error))
        return None
    if heat is None:
        return None
    return {
        "version": VERSION,
        "dataset": dataset.identity,
        "split": split.name,
        "weights_sha256": evaluation["weights_sha256"],
        "images": [
            heat_row(row, dataset.classes[int(p.argmax())], float(p.max()), one)
            for row, p, one in zip(rows, probabilities, heat, strict=True)
        ],
    }


def _images(dataset: Dataset, split: Split, rows: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    """Each row as uint8 (1, H, W, C)."""
    reader = Reader(dataset, split, threads=1)
    for row in rows:
        (batch,) = reader.batches_of(range(row, row + 1), 1)
        yield batch.images.copy()


def chosen(split: Split, evaluation: EvaluationDocument) -> list[int]:
    """The rows that are shown: mistakes of different classes, and one of each of a few other classes."""
    mistakes: dict[str, int] = {}
    for one in evaluation["misclassified"]:
        mistakes.setdefault(one["class"], one["row"])
    wrong = {one["row"] for one in evaluation["misclassified"]}
    labels, firsts = np.unique(split.labels, return_index=True)
    every = max(1, len(labels) // RIGHT)
    others = [row for row in firsts[::every].tolist() if row not in wrong]
    return [*list(mistakes.values())[:MISTAKES], *others[:RIGHT]]


def grad_cam(model: keras.Model, images: tf.Tensor) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
    """Prepared images, float32 (n, H, W, C) -> float32 (n, classes), and uint8 (n, h, w): what in the last
    map (n, h, w, channels) of the network contributed to the predicted class, rather than to the second;
    None without such a map.
    """
    with _listened(model, lambda _: None) as maps:
        probabilities = tf.cast(model(images, training=False), tf.float32)
    if not maps:
        return probabilities.numpy(), None
    last = len(maps)
    # The tape records what follows the last map alone: gradients of all convolutions before it would be
    # computed too, in which oneDNN crashes for some shapes.
    with (
        tf.GradientTape(watch_accessed_variables=False) as tape,
        _listened(model, lambda found: tape.watch(found[-1]) if len(found) == last else None) as maps,
    ):
        probabilities = tf.cast(model(images, training=False), tf.float32)
        two = tf.math.top_k(tf.math.log(probabilities + 1e-30), 2).values
        score = two[:, 0] - two[:, 1]
    gradient = tf.cast(tape.gradient(score, maps[-1]), tf.float32)
    weights = tf.reduce_mean(gradient, (1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(weights * tf.cast(maps[-1], tf.float32), -1)).numpy()
    largest = heat.max((1, 2), keepdims=True)
    scaled = np.where(largest > 0, heat / np.maximum(largest, 1e-30), 0)
    return probabilities.numpy(), np.rint(255 * scaled).astype(np.uint8)


@contextmanager
def _listened(model: keras.Model, heard: Callable[[list[tf.Tensor]], None]) -> Iterator[list[tf.Tensor]]:
    """Lists the maps that layers put out while `model` is called, also layers of networks inside it; calls
    `heard` after each with those so far."""
    maps: list[tf.Tensor] = []
    layers = [one for one in model._flatten_layers(include_self=False) if not isinstance(one, keras.Model)]
    try:
        for layer in layers:
            layer.call = _listening(layer.call, maps, heard)
        yield maps
    finally:
        for layer in layers:
            layer.__dict__.pop("call", None)


def _listening(
    call: Callable[..., Any], maps: list[tf.Tensor], heard: Callable[[list[tf.Tensor]], None]
) -> Callable[..., Any]:
    def listening(*inputs: Any, **options: Any) -> Any:
        output = call(*inputs, **options)
        if isinstance(output, tf.Tensor) and _is_map(output.shape):
            maps.append(output)
            heard(maps)
        return output

    return listening


def _is_map(shape: Sequence[int | None]) -> bool:
    return len(shape) == 4 and (shape[1] or 1) * (shape[2] or 1) > 1
