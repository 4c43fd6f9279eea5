"""Images of a prefix -> named classes, in parts that are committed whole; a part that is there is skipped."""

import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.images import SUFFIXES, decode_image
from trainer.dataset.pipeline import Preprocessing
from trainer.errors import DataError, TrainerError
from trainer.inference.config import PredictConfig
from trainer.models.files import load_weights_file
from trainer.runs import read_run
from trainer.storage import Store, open_store

log = logging.getLogger(__name__)

TOP = 5
DECODERS = 4


@dataclass(frozen=True)
class Tally:
    """Images over all parts: named, and those that could not be read."""

    named: int
    bad: int
    parts: int


class Predictor:
    """A trained run's network, ready to name images."""

    def __init__(self, run_url: str, weights: str = "best") -> None:
        store = open_store(run_url)
        run = read_run(store)
        self.classes = run.classes
        self.size = run.image_shape[:2]
        self.model = run.network()
        load_weights_file(self.model, _weights(store, weights))
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
    """Names every image under `config.input`; this pod works the parts that are `pod` modulo `pods`.

    Raises:
        DataError: no image under the input, no weights in the run, or too many images that cannot be read.
    """
    source, target = open_store(config.input), open_store(config.output)
    keys = [info.key for info in source.list() if info.key.lower().endswith(SUFFIXES)]
    if not keys:
        raise DataError(
            f"{source.url}: no image found", f"Name a prefix that holds {', '.join(SUFFIXES)} objects"
        )
    parts = list(enumerate(_groups(keys, config.part_size)))
    mine = [(number, part) for number, part in parts if number % pods == pod]
    there = {info.key for info in target.list()}
    predictor: Predictor | None = None
    named = bad = 0
    for number, part in mine:
        key = f"predictions-{number:05d}.jsonl"
        if key in there:
            lines = target.get(key).count(b"\n")
            named, bad = named + lines, bad + len(part) - lines
            continue
        predictor = predictor or Predictor(config.run, config.weights)
        good, wrong = _predict_part(predictor, source, part, config.batch_size)
        if wrong:
            target.put(f"errors-{number:05d}.jsonl", _lines(wrong))
        target.put(key, _lines(good))
        named, bad = named + len(good), bad + len(wrong)
        log.info(
            "part %d of %d: %d images named, %d unreadable", number + 1, len(parts), len(good), len(wrong)
        )
    if named + bad and bad / (named + bad) > config.max_bad_fraction:
        raise DataError(
            f"{bad} of {named + bad} images could not be read, more than max_bad_fraction "
            f"{config.max_bad_fraction:g}; the reasons are in {target.url}/errors-*.jsonl",
            "Mend or remove them, or raise max_bad_fraction",
        )
    return Tally(named, bad, len(mine))


def _predict_part(
    predictor: Predictor, source: Store, keys: Sequence[str], batch_size: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    good: list[dict[str, Any]] = []
    wrong: list[dict[str, Any]] = []
    with ThreadPoolExecutor(DECODERS) as pool:

        def read(key: str) -> NDArray[np.uint8] | str:
            try:
                return decode_image(source.get(key), predictor.size)
            except (TrainerError, FileNotFoundError) as error:
                return str(error)

        for group in _groups(keys, batch_size):
            decoded = list(zip(group, pool.map(read, group), strict=True))
            wrong += [{"name": key, "error": image} for key, image in decoded if isinstance(image, str)]
            readable = [(key, image) for key, image in decoded if not isinstance(image, str)]
            if readable:
                probabilities = predictor.probabilities(np.stack([i for _, i in readable]), batch_size)
                good += [
                    _named(key, row, predictor.classes)
                    for (key, _), row in zip(readable, probabilities, strict=True)
                ]
    return good, wrong


def _groups(keys: Sequence[str], size: int) -> list[Sequence[str]]:
    return [keys[start : start + size] for start in range(0, len(keys), size)]


def _named(key: str, probabilities: NDArray[np.float32], classes: Sequence[str]) -> dict[str, Any]:
    top = np.argsort(-probabilities, kind="stable")[:TOP]
    ranked = [{"class": classes[i], "probability": round(float(probabilities[i]), 6)} for i in top]
    return {"name": key, **ranked[0], "top": ranked}


def _lines(rows: Sequence[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _weights(store: Store, which: str) -> bytes:
    try:
        return store.get(f"weights/{which}.weights.h5")
    except FileNotFoundError:
        raise DataError(f"{store.url} has no {which} weights yet", "Wait for the end of its epoch") from None
