"""docs/json.md: the types of what commands print with `--json` and of the documents in the store."""

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from trainer.checkpoints.verify import VerifiedCheckpoint
from trainer.cluster.release_status import EndedRelease, ReleaseStatus
from trainer.dataset.inspection.describe import DatasetDescription
from trainer.doctor.finding import CheckResult
from trainer.inference.forms import ClassProbability, PredictionRow, ReadError
from trainer.inference.results.prediction_summary import PredictionBinding, PredictionSummary
from trainer.models.layer_table import LayerTable
from trainer.observability.log import LogLine
from trainer.preparation.bad_images import BadImagesReport
from trainer.preparation.hdf5.index_hdf5 import Indexed
from trainer.preparation.prepared import PreparedDataset
from trainer.preparation.reindex import Reindexed
from trainer.reporting.compare import ComparedRun
from trainer.reporting.run_log import LoggedRun
from trainer.runs.documents.changed_values import ChangedDocument
from trainer.runs.documents.evaluation_values import EvaluationDocument
from trainer.runs.documents.finished_values import FinishedDocument, FinishedRun
from trainer.runs.documents.heat_values import HeatDocument
from trainer.runs.find_runs import ListedRun
from trainer.runs.findings import AuditDocument
from trainer.runs.removal import RemovedRuns
from trainer.training.setup.check import Checked

PRINTED: tuple[tuple[str, Any, str], ...] = (
    ("prepare", PreparedDataset, ""),
    ("prepare", BadImagesReport, "if images are bad and that ends it"),
    ("index", Indexed, "of HDF5 files"),
    ("index", Reindexed, "of a dataset that was copied"),
    ("inspect", DatasetDescription, ""),
    ("train", FinishedRun, "nothing unless the run is finished"),
    ("train --check", Checked, ""),
    ("evaluate", EvaluationDocument, ""),
    ("log", LoggedRun, ""),
    ("compare", list[ComparedRun], ""),
    ("model", LayerTable, ""),
    ("predict", PredictionSummary, "of a job, from every pod"),
    ("predict", list[PredictionRow | ReadError], "of a few images"),
    ("runs", list[ListedRun], ""),
    ("runs --remove", RemovedRuns, ""),
    ("verify", list[VerifiedCheckpoint], ""),
    ("doctor", list[CheckResult], ""),
    ("status", ReleaseStatus, "of one release"),
    ("status", list[ReleaseStatus], "of all releases of a namespace"),
    ("wait", EndedRelease, ""),
)
"""Command, what it prints, and when."""

RUN, PREDICTIONS = "a run's folder", "a folder of predictions"
STORED: tuple[tuple[str, str, Any, str], ...] = (
    ("`finished.json`", RUN, FinishedDocument, ""),
    ("`audit.json`", RUN, AuditDocument, ""),
    ("`evaluation/test-best.json` and the like", RUN, EvaluationDocument, ""),
    ("`report/heat-maps.json`", RUN, HeatDocument, "of the evaluation that the report shows first"),
    ("`report/changed-images.json`", RUN, ChangedDocument, "of the same, if its sensitivity was evaluated"),
    (
        "`plan.json`, `images/`",
        PREDICTIONS,
        None,
        "the images, in parts, and what the predictions depend on",
    ),
    (
        "`predictions-00000.jsonl` …",
        PREDICTIONS,
        PredictionRow,
        "a line an image, an object a part; as CSV without `top`; in Parquet `class_id` is int32, "
        "`probability` float64",
    ),
    ("`results.json`", PREDICTIONS, None, "with `format: json`, at the end: one list of all, without `top`"),
    ("`errors.jsonl`", PREDICTIONS, ReadError, "a line an image"),
    ("`errors/`, `claims/`", PREDICTIONS, None, "the same of each part; who does a part, deleted at the end"),
    ("`summary.json`", PREDICTIONS, PredictionSummary, ""),
    ("`summary.html`", PREDICTIONS, None, "the same for people, with samples"),
)
"""Objects in the store, where they are, their type, and what else there is to know."""

_EXTENDED: Mapping[Any, Any] = {
    FinishedRun: FinishedDocument,
    PredictionRow: ClassProbability,
    PredictionSummary: PredictionBinding,
}
"""Type -> the one that it extends, which Python forgets of a TypedDict before 3.12."""

_HEAD = """# JSON

Made from the code by `scripts/generate`; do not edit.

What commands print with `--json`, on stdout; progress, `next:` and errors go to stderr. Fields are only added
within a version of the trainer's first number. Sizes are bytes; times are seconds since 1970, or ISO 8601.
Epochs are counted from 1, but in metrics.csv and in the metric `trainer_epoch` from 0, as Keras counts.

| command | prints |
|---|---|
"""

_LOG = """
## Log

With `--log-format json`, or `TRAINER_LOG_FORMAT=json`, every line on stderr is one object: log lines, errors,
interruptions and `next:`. Without it, a line has the time of day on a terminal; elsewhere, as in pods, the
date, the time and the zone. Only what libraries print is not JSON, as TensorFlow's native messages.

| line | object |
|---|---|
"""

_FILES = """
## Files

| object | in | content |
|---|---|---|
"""


def json_page() -> str:
    """The page."""
    kinds = named([LogLine, *(kind for _, kind, _ in PRINTED), *(kind for _, _, kind, _ in STORED if kind)])
    sections = "".join(_section(kind) for kind in sorted(set(kinds), key=lambda kind: kind.__name__))
    return f"{_HEAD}{_commands()}{_LOG}| each | {_type(LogLine)} |\n{_FILES}{_files()}\n## Types\n{sections}"


def _files() -> str:
    return "".join(
        f"| {name} | {place} | {'; '.join(filter(None, (kind and _type(kind), remark)))} |\n"
        for name, place, kind, remark in STORED
    )


def _commands() -> str:
    cells: dict[str, list[str]] = {}
    for command, kind, when in PRINTED:
        cells.setdefault(command, []).append(_type(kind) + (f" ({when})" if when else ""))
    return "".join(f"| `{command}` | {'; '.join(texts)} |\n" for command, texts in cells.items())


def named(kinds: Sequence[Any]) -> Iterator[type]:
    """The types that have a section, in the order in which they are met."""
    for kind in kinds:
        if is_document(kind):
            yield kind
            yield from named(list(fields(kind).values()))
        else:
            yield from named(get_args(kind))


def is_document(kind: Any) -> bool:
    """Whether a type has fields, and so a section of the page."""
    return is_typeddict(kind) or (isinstance(kind, type) and dataclasses.is_dataclass(kind))


def fields(kind: Any) -> dict[str, Any]:
    """The name and the type of each field; one that may be absent is NotRequired."""
    hints = get_type_hints(kind, include_extras=True)
    if is_typeddict(kind):
        return hints
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def meanings(kind: Any) -> tuple[str, dict[str, str]]:
    """The sentences of a docstring, and what its `Attributes:` say, also those of the types it extends."""
    text, found = inspect.cleandoc(kind.__doc__ or ""), {}
    for base in filter(None, (_EXTENDED.get(kind), kind)):
        _, _, section = inspect.cleandoc(base.__doc__ or "").partition("Attributes:\n")
        for name, meaning in re.findall(r"^    ([\w ]+): (.*(?:\n {8}.*)*)", section, re.MULTILINE):
            found[name] = " ".join(meaning.split()).removesuffix(".")
    return " ".join(text.partition("Attributes:")[0].split()), found


def _section(kind: type) -> str:
    text, meaning = meanings(kind)
    rows = "".join(
        f"| `{name}` | {_type(annotation)} | {meaning.get(name, '')} |\n"
        for name, annotation in fields(kind).items()
    )
    return f"\n### {kind.__name__}\n\n{text}\n\n| field | value | meaning |\n|---|---|---|\n{rows}"


_PLAIN = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "`true`, `false`",
    NoneType: "null",
    datetime: "time",
    Any: "any",
}


def _type(annotation: Any) -> str:
    if is_document(annotation):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is NotRequired:
        return f"{_type(arguments[0])}, or absent"
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(_type(one) for one in arguments)
    if origin is tuple and Ellipsis not in arguments:
        return f"[{', '.join(_type(one) for one in arguments)}]"
    if origin is not None and issubclass(origin, Mapping):
        return f"object, name -> {_type(arguments[1])}"
    if origin is not None and issubclass(origin, Sequence):
        return f"list of {_type(arguments[0])}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{one.value}`" for one in annotation)
    return _PLAIN[annotation]
