"""Images below a prefix -> predictions, in parts that are committed whole, those that are there skipped."""

import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.batch_stream import Preprocessing
from trainer.dataset.images import decode_image
from trainer.errors import DataError, TrainerError
from trainer.inference.config import PredictConfig
from trainer.inference.images import image_keys
from trainer.models import build_network
from trainer.models.weights_file import load_weights_file
from trainer.runs import layout
from trainer.runs.document import read_run
from trainer.runs.weights import read_weights
from trainer.storage import Store, open_store

log = logging.getLogger(__name__)

TOP = 5
DECODERS = 4


@dataclass(frozen=True)
class Tally:
    """Images over all parts: classified, and those that could not be read."""

    classified: int
    unreadable: int
    parts: int


def predictions_key(part: int) -> str:
    """Where the predictions of a part are."""
    return f"predictions-{part:05d}.jsonl"


def errors_key(part: str) -> str:
    """Where the images of a part that could not be read are, and why."""
    return f"errors-{part}.jsonl"


class Predictor:
    """A trained run's network, ready to classify images."""

    def __init__(self, run_url: str, weights: layout.Which = "best") -> None:
        store = open_store(run_url)
        run = read_run(store)
        self.classes = run.classes
        self.size = run.image_shape[:2]
        self.model = build_network(run)
        load_weights_file(self.model, read_weights(store, weights))
        self.preprocessing = Preprocessing(run.config.data.standardize, **run.pixels)

    def probabilities(self, images: NDArray[np.uint8], batch_size: int) -> NDArray[np.float32]:
        """(n, H, W, 3) uint8 -> (n, classes) float32, in batches padded to one compiled shape."""
        padded = np.zeros((-(-len(images) // batch_size) * batch_size, *images.shape[1:]), np.uint8)
        padded[: len(images)] = images
        found = [
            self.model.predict_on_batch(self.preprocessing(padded[i : i + batch_size]))
            for i in range(0, len(padded), batch_size)
        ]
        return np.concatenate(found)[: len(images)]


def predict(config: PredictConfig, *, pod: int = 0, pods: int = 1) -> Tally:
    """Classifies every image under `config.input`; this pod does parts whose number is `pod` modulo `pods`.

    Raises:
        DataError: no image under the input, no weights in the run, or too many images that cannot be read.
    """
    source, target = open_store(config.input), open_store(config.output)
    parts = list(enumerate(_groups(list(image_keys(source)), config.part_size)))
    mine = [(number, part) for number, part in parts if number % pods == pod]
    there = {info.key for info in target.list()}
    predictor: Predictor | None = None
    classified = unreadable = 0
    for number, part in mine:
        key = predictions_key(number)
        if key in there:
            lines = target.get(key).count(b"\n")
            classified, unreadable = classified + lines, unreadable + len(part) - lines
            continue
        predictor = predictor or Predictor(config.run, config.weights)
        good, failed = _predict_part(predictor, source, part, config.batch_size)
        if failed:
            target.put(errors_key(f"{number:05d}"), _lines(failed))
        target.put(key, _lines(good))
        classified, unreadable = classified + len(good), unreadable + len(failed)
        log.info(
            "part %d of %d: %d images classified, %d unreadable",
            number + 1,
            len(parts),
            len(good),
            len(failed),
        )
    total = classified + unreadable
    if total and unreadable / total > config.max_bad_fraction:
        raise DataError(
            f"{unreadable} of {total} images could not be read, more than max_bad_fraction "
            f"{config.max_bad_fraction:g}; the reasons are in {target.url}/{errors_key('*')}",
            "Repair or remove them, or raise max_bad_fraction",
        )
    return Tally(classified, unreadable, len(mine))


def _predict_part(
    predictor: Predictor, source: Store, keys: Sequence[str], batch_size: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    good: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    with ThreadPoolExecutor(DECODERS) as pool:

        def read(key: str) -> NDArray[np.uint8] | str:
            try:
                return decode_image(source.get(key), predictor.size)
            except (TrainerError, FileNotFoundError) as error:
                return str(error)

        for group in _groups(keys, batch_size):
            decoded = list(zip(group, pool.map(read, group), strict=True))
            failed += [{"name": key, "error": image} for key, image in decoded if isinstance(image, str)]
            readable = [(key, image) for key, image in decoded if not isinstance(image, str)]
            if readable:
                probabilities = predictor.probabilities(np.stack([i for _, i in readable]), batch_size)
                good += [
                    _prediction(key, row, predictor.classes)
                    for (key, _), row in zip(readable, probabilities, strict=True)
                ]
    return good, failed


def _groups(keys: Sequence[str], size: int) -> list[Sequence[str]]:
    return [keys[start : start + size] for start in range(0, len(keys), size)]


def _prediction(key: str, probabilities: NDArray[np.float32], classes: Sequence[str]) -> dict[str, Any]:
    top = np.argsort(-probabilities, kind="stable")[:TOP]
    ranked = [{"class": classes[i], "probability": round(float(probabilities[i]), 6)} for i in top]
    return {"name": key, **ranked[0], "top": ranked}


def _lines(rows: Sequence[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
