"""Builds the report of a run from the files in its folder."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from trainer.config.run_sections import PriceSection
from trainer.dataset.dataset import Dataset
from trainer.dataset.open_dataset import open_dataset
from trainer.errors import TrainerError
from trainer.output.units import shape
from trainer.reporting import pictures
from trainer.reporting.known import Known
from trainer.reporting.report_page import page
from trainer.reporting.usage import read_epochs
from trainer.runs import layout
from trainer.runs.documents.changed_values import read_changed
from trainer.runs.documents.evaluation_values import EvaluationDocument
from trainer.runs.documents.heat_values import HeatDocument, read_heat
from trainer.runs.history import read_history
from trainer.runs.run_document import RunDocument, RunResult, read_document, read_finished, read_run
from trainer.runs.timing import EpochTiming
from trainer.storage import Store, open_store

log = logging.getLogger(__name__)


def write_report(url: str, price: PriceSection | None = None) -> str:
    """Builds the report of a run, also of one that is not finished, into its folder -> its URL. `price`: in
    place of the one in its configuration.

    Raises DataError where there is no run. Where the dataset cannot be read the images are left out, and the
    log says so.
    """
    store = open_store(url)
    run = with_price(read_run(store), price)
    versions = read_document(store).get("versions", {})
    dataset = _dataset(run.config.data.url)
    known = read_metrics(store), read_finished(store), versions
    store.put(layout.REPORT, build(store, run, dataset, *known, timing=read_epochs(store)))
    return f"{store.url}/{layout.REPORT}"


def with_price(run: RunDocument, price: PriceSection | None) -> RunDocument:
    """The run with another `run.price`, where there is one."""
    if price is None:
        return run
    section = run.config.run.model_copy(update={"price": price})
    return replace(run, config=run.config.model_copy(update={"run": section}))


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
    evaluations = read_evaluations(store)
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
        changed=read_changed(store),
    )
    return page(_with_images(known, dataset, read_heat(store)) if dataset else known)


def read_evaluations(store: Store) -> list[EvaluationDocument]:
    """All evaluations of a run: the test split first, then validation; the best weights before the last."""
    documents: list[EvaluationDocument] = [
        json.loads(store.get(info.key)) for info in store.list(layout.EVALUATION)
    ]
    return sorted(documents, key=_order)


def first_evaluation(store: Store) -> EvaluationDocument | None:
    """The evaluation that a report shows first; None where there is none."""
    return next(iter(read_evaluations(store)), None)


def _order(evaluation: EvaluationDocument) -> tuple[int, bool]:
    split, order = evaluation["dataset"]["split"], ("test", "validation", "train")
    return order.index(split) if split in order else len(order), evaluation["weights"] != "best"


def _with_images(known: Known, dataset: Dataset, heat: HeatDocument | None) -> Known:
    """Adds what the dataset shows; images of an evaluation only if it was of just this dataset."""
    rows = {name: split.rows for name, split in dataset.splits.items()}
    known = replace(known, rows=rows, samples=pictures.samples(dataset))
    first = next(iter(known.evaluations), None)
    if first is None or first["dataset"]["identity"] != dataset.identity:
        return known
    return replace(
        known,
        mistakes=pictures.mistakes(dataset, first),
        pairs=pictures.pairs(dataset, first),
        heat_maps=pictures.heat_maps(dataset, first, heat) if heat else [],
    )


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


def read_metrics(store: Store) -> list[dict[str, float]]:
    """metrics.csv of a run; [] before its first epoch."""
    try:
        return read_history(store.get(layout.METRICS))
    except FileNotFoundError:
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
