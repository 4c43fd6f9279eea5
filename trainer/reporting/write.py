"""Builds the report of a run from the files in its folder."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from trainer.dataset.dataset import Dataset, Split
from trainer.dataset.open_dataset import open_dataset
from trainer.dataset.reading.reader import Reader
from trainer.errors import TrainerError
from trainer.output.units import shape
from trainer.reporting.report_page import MAX_MISTAKES_SHOWN, Known, Picture, page
from trainer.runs import layout
from trainer.runs.documents.evaluation_values import EvaluationDocument
from trainer.runs.history import read_history
from trainer.runs.run_document import RunDocument, RunResult, read_document, read_finished, read_run
from trainer.runs.timing import EpochTiming, read_timing
from trainer.storage import Store, open_store

SAMPLES = 24

log = logging.getLogger(__name__)


def write_report(url: str) -> str:
    """Builds the report of a run, also of one that is not finished, into its folder -> its URL.

    Raises DataError where there is no run. Where the dataset cannot be read the images are left out, and the
    log says so.
    """
    store = open_store(url)
    run = read_run(store)
    versions = read_document(store).get("versions", {})
    dataset = _dataset(run.config.data.url)
    known = _history(store), read_finished(store), versions
    store.put(layout.REPORT, build(store, run, dataset, *known, timing=_timing(store)))
    return f"{store.url}/{layout.REPORT}"


def build(
    store: Store,
    run: RunDocument,
    dataset: Dataset | None,
    history: Sequence[Mapping[str, float]],
    finished: RunResult | None,
    versions: Mapping[str, str],
    timing: Sequence[EpochTiming] = (),
) -> bytes:
    """The report of the run in `store`, with the evaluations that are there."""
    evaluations = [_evaluation(store, info.key) for info in store.list(layout.EVALUATION)]
    known = Known(
        store.url,
        run,
        {"url": run.config.data.url} | (_facts(dataset) if dataset else {}),
        history,
        finished,
        evaluations,
        _samples(dataset) if dataset else [],
        _mistakes(dataset, evaluations) if dataset else [],
        timing=timing,
        versions=versions,
    )
    return page(known)


def _evaluation(store: Store, key: str) -> EvaluationDocument:
    document: EvaluationDocument = json.loads(store.get(key))
    return document


def _history(store: Store) -> list[dict[str, float]]:
    try:
        return read_history(store.get(layout.METRICS))
    except FileNotFoundError:
        return []


def _timing(store: Store) -> list[EpochTiming]:
    try:
        return read_timing(store.get(layout.TIMING))
    except (FileNotFoundError, ValueError):
        return []


def _dataset(url: str) -> Dataset | None:
    try:
        return open_dataset(url)
    except (TrainerError, OSError) as error:
        log.warning("the page has no images, since the dataset cannot be read: %s", error)
        return None


def _facts(dataset: Dataset) -> dict[str, str]:
    options: dict[str, str] = {
        name: str(dataset.made[name]) for name in ("source", "resize") if name in dataset.made
    }
    rows = ", ".join(f"{name} {split.rows:,}" for name, split in dataset.splits.items())
    return {"SHA-256": dataset.identity, "images": rows, "shape": shape(dataset.image_shape), **options}


def _samples(dataset: Dataset) -> list[Picture]:
    """Samples of the training images, from as many classes as possible."""
    split = dataset.split("train")
    _, first = np.unique(split.labels, return_index=True)
    rest = np.setdiff1d(np.linspace(0, split.rows - 1, SAMPLES).astype(int), first)
    rows = [*first.tolist(), *rest.tolist()][: min(SAMPLES, split.rows)]
    return _pictures(dataset, split, [(row, dataset.classes[int(split.labels[row])]) for row in rows])


def _mistakes(dataset: Dataset, evaluations: Sequence[EvaluationDocument]) -> list[Picture]:
    """The most confident mistakes of the best evaluation, of the test split if there is one."""
    usable = [row for row in evaluations if row["dataset"]["identity"] == dataset.identity]
    usable.sort(key=lambda row: (row["dataset"]["split"] != "test", row["weights"] != "best"))
    if not usable:
        return []
    mistakes = usable[0]["misclassified"][:MAX_MISTAKES_SHOWN]
    split = dataset.split(usable[0]["dataset"]["split"])
    rows = [(row["row"], row["class"], row["predicted"], row["probability"]) for row in mistakes]
    return _pictures(dataset, split, rows)


def _pictures(dataset: Dataset, split: Split, rows: Iterable[tuple[Any, ...]]) -> list[Picture]:
    """Each row's number, and what a `Picture` has besides the pixels."""
    reader, pictures = Reader(dataset, split, threads=1), []
    try:
        for row, *words in rows:
            (batch,) = reader.batches_of(range(row, row + 1), 1)
            image = batch.images[0]
            pixels = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image.copy()
            pictures.append(Picture(pixels, *words))
    except (TrainerError, OSError):
        pass
    return pictures
