"""Builds the report of a run from the files in its folder."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from trainer.dataset.dataset import Dataset
from trainer.dataset.open_dataset import open_dataset
from trainer.errors import TrainerError
from trainer.output.units import shape
from trainer.report import pictures
from trainer.report.report_page import Known, page
from trainer.runs import layout
from trainer.runs.documents.evaluation_values import EvaluationDocument
from trainer.runs.history import read_history
from trainer.runs.run_document import RunDocument, RunResult, read_document, read_finished, read_run
from trainer.runs.timing import EpochTiming, read_timing
from trainer.storage import Store, open_store

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
    evaluations.sort(key=most_telling)
    known = Known(
        store.url,
        run,
        {"url": run.config.data.url} | (_facts(dataset) if dataset else {}),
        history,
        finished,
        evaluations,
        timing=timing,
        versions=versions,
        started=started(store),
        ended=_ended(store) if finished else None,
    )
    return page(_with_images(known, dataset) if dataset else known)


def most_telling(evaluation: EvaluationDocument) -> tuple[int, bool]:
    """Sorts evaluations: the test split first, then validation; the best weights before the last."""
    split = evaluation["dataset"]["split"]
    order = ("test", "validation", "train")
    return order.index(split) if split in order else len(order), evaluation["weights"] != "best"


def _with_images(known: Known, dataset: Dataset) -> Known:
    """Adds what the dataset shows; images of an evaluation only if it was of just this dataset."""
    rows = {name: split.rows for name, split in dataset.splits.items()}
    known = replace(known, rows=rows, samples=pictures.samples(dataset))
    first = next(iter(known.evaluations), None)
    if first is None or first["dataset"]["identity"] != dataset.identity:
        return known
    return replace(known, mistakes=pictures.mistakes(dataset, first), pairs=pictures.pairs(dataset, first))


def started(store: Store) -> float | None:
    """When the run was first started, in seconds since 1970; None where the store does not say."""
    times = [info.modified for info in store.list(layout.TOKENS) if info.modified]
    return min(times) if times else None


def _ended(store: Store) -> float | None:
    """When the last epoch was published: the report is written before finished.json."""
    try:
        return store.stat(layout.METRICS).modified
    except FileNotFoundError:
        return None


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
