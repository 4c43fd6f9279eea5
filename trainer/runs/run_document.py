"""run.json, which says what a run is, and finished.json, which says how it ended."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any

from trainer import __version__
from trainer.config import RunConfig, parse
from trainer.config.sections import TrainSection
from trainer.errors import DataError, RunError
from trainer.runs import layout
from trainer.storage import Store, join

RUN_FORMAT = 1
FINISHED_FORMAT = 2
"""A newer trainer reads older documents; an older one refuses newer ones."""


@dataclass(frozen=True)
class RunDocument:
    """run.json.

    Attributes:
        identity: what makes two runs the same run, as plain values.
        config: the resolved configuration.
        classes: the names of the classes, in the order of the network's probabilities.
        image_shape: (H, W, C) of what the network is given.
        pixels: `mean` and `std` of the training images for each channel, in 0..255.
        generation: the first whose checkpoints are this run's; see `claim`.
        prepared: `shape` (H, W, C) of the dataset's images, and how they were given it: `resize`, one of
            squash, crop and pad; and `encoding` where rows are not raw. Empty in runs of before it was
            written.
    """

    identity: Mapping[str, Any]
    config: RunConfig
    classes: Sequence[str]
    image_shape: tuple[int, int, int]
    pixels: Mapping[str, Any]
    generation: int = 0
    prepared: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prepared_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the dataset's images."""
        height, width, channels = self.prepared.get("shape", self.image_shape)
        return height, width, channels

    @property
    def resize(self) -> str:
        """How the dataset's images were given their shape."""
        return str(self.prepared.get("resize", "squash"))

    @property
    def encoding(self) -> str:
        """What the dataset's rows are: raw pixels, or jpeg files of them."""
        return str(self.prepared.get("encoding", "raw"))


@dataclass(frozen=True)
class Reached:
    """What one set of weights reached.

    Attributes:
        epoch: counted from 1.
        metrics: by Keras's names: `loss`, `accuracy`, `top5_accuracy` of training, `val_*` of the validation
            split in that epoch, `test_*` of the same weights on the test split, and `learning_rate`.
    """

    epoch: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class RunResult:
    """finished.json: the epochs and steps that were trained, and what the weights reached.

    Attributes:
        stopped_early: a callback ended the run before its last epoch.
        last: the weights after the last epoch.
        best: the best by `run.monitor`, which model.keras and predictions use; None where there are none.
        sha256: of what was published, by key; empty in runs of before it was written.
        early_stopping: `train.early_stopping` of the run as it ended.
    """

    epochs: int
    steps: int
    stopped_early: bool
    last: Reached
    best: Reached | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)
    early_stopping: Mapping[str, Any] | None = None

    @property
    def published(self) -> Reached:
        """That of the weights in model.keras."""
        return self.best or self.last

    def dumps(self) -> bytes:
        """The JSON text."""
        document = {
            "version": FINISHED_FORMAT,
            "epochs": self.epochs,
            "steps": self.steps,
            "stopped_early": self.stopped_early,
            "best": asdict(self.best) if self.best else None,
            "last": asdict(self.last),
            "sha256": dict(self.sha256),
            "early_stopping": self.early_stopping,
        }
        return json.dumps(document, indent=1, allow_nan=False).encode()


def read_document(store: Store, folder: str = "") -> dict[str, Any]:
    """run.json as plain values. Raises DataError where there is none, RunError where it cannot be read."""
    where = join(store.url, folder)
    try:
        data = store.get(_key(folder, layout.RUN))
    except FileNotFoundError:
        raise DataError(f"{where}: there is no run here (no {layout.RUN})", "Name a run's folder") from None
    return _read(data, f"{where}: {layout.RUN}", RUN_FORMAT)


def read_run(store: Store) -> RunDocument:
    """The run in a folder. Raises as `read_document` does."""
    document = read_document(store)
    height, width, channels = document["image_shape"]
    return RunDocument(
        document["identity"],
        parse(document["config"], f"{store.url}: {layout.RUN}"),
        document["classes"],
        (height, width, channels),
        document["pixels"],
        document.get("generation", 0),
        document.get("prepared", {}),
    )


def read_finished(store: Store, folder: str = "") -> RunResult | None:
    """How the run ended; None while it has not. Raises RunError where finished.json cannot be read."""
    try:
        data = store.get(_key(folder, layout.FINISHED))
    except FileNotFoundError:
        return None
    what = f"{join(store.url, folder)}: {layout.FINISHED}"
    found = _read(data, what, FINISHED_FORMAT, "Delete it and start the run: what it published is made again")
    how = found["epochs"], found["steps"], found["stopped_early"]
    if "last" in found:
        best = Reached(**found["best"]) if found["best"] else None
        more = found.get("sha256", {}), found.get("early_stopping")
        return RunResult(*how, Reached(**found["last"]), best, *more)
    # Before version 2 only the last weights were evaluated, before version 1 the metrics were called figures.
    metrics = found["metrics"] if "metrics" in found else found["figures"]
    return RunResult(*how, Reached(found["epochs"], metrics))


def already_finished(store: Store, train: TrainSection) -> bool:
    """Whether nothing is left to do: all epochs are done, or a callback ended the run and `early_stopping` is
    what it was then."""
    finished = read_finished(store)
    if finished is None:
        return False
    if train.epochs <= finished.epochs:
        return True
    now = train.early_stopping.model_dump(mode="json") if train.early_stopping else None
    return finished.stopped_early and finished.early_stopping == now


def dump_run(run: RunDocument, generation: int) -> bytes:
    """run.json of a run whose checkpoints are those from `generation` on."""
    document = {
        "version": RUN_FORMAT,
        "generation": generation,
        "identity": run.identity,
        "config": run.config.model_dump(mode="json"),
        "classes": list(run.classes),
        "image_shape": list(run.image_shape),
        "pixels": run.pixels,
        "prepared": run.prepared,
        "versions": versions(),
    }
    return json.dumps(document, indent=1).encode()


def classes_json(classes: Sequence[str]) -> bytes:
    """The names of a network's classes, in the order of its probabilities, as a JSON list."""
    return json.dumps(list(classes), ensure_ascii=False, indent=1).encode()


def versions() -> dict[str, str]:
    """The versions of the packages that decide what a run computes, by name."""
    found = {"cars-trainer": __version__}
    for name in ("tensorflow-cpu", "tensorflow", "keras", "horovod", "numpy", "pillow", "h5py"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _read(
    data: bytes, what: str, newest: int, remedy: str = "Restore it from a backup, or use a new run.url"
) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(data)
        version = int(document.get("version", 0))
    except (ValueError, TypeError, AttributeError):
        raise RunError(f"{what} is damaged", remedy) from None
    if version > newest:
        raise RunError(
            f"{what} is of version {version}; this trainer reads versions up to {newest}",
            "Use the trainer that made the run, or a newer one",
        )
    return document


def _key(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
