"""run.json, which describes a run, and finished.json, which describes its results."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any

from trainer import __version__
from trainer.config import RunConfig, parse
from trainer.config.phases import epochs_to_train, phase_of_epoch
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
        identity: the values that must not change while the run has checkpoints.
        config: the resolved configuration.
        classes: the names of the classes, in the order of the network's probabilities.
        image_shape: (H, W, C) of the network's input.
        pixels: `mean` and `std` of the training images for each channel, in 0..255.
        generation: the first generation whose checkpoints belong to this run; see `claim`.
        prepared: `shape` (H, W, C) of the dataset's images, how they were resized (`resize`: squash, crop or
            pad), and `encoding` if rows are not raw. Empty in runs of older versions.
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
        """How the dataset's images were resized: squash, crop or pad."""
        return str(self.prepared.get("resize", "squash"))

    @property
    def encoding(self) -> str:
        """The encoding of the dataset's rows: raw or jpeg."""
        return str(self.prepared.get("encoding", "raw"))


@dataclass(frozen=True)
class Reached:
    """The metrics of one set of weights.

    Attributes:
        epoch: counted from 1.
        metrics: by Keras's names: `loss`, `accuracy`, `top5_accuracy` of training, `val_*` of the validation
            split in that epoch, `test_*` of the same weights on the test split, and `learning_rate`.
    """

    epoch: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class RunResult:
    """finished.json: the epochs and steps that were trained, and the metrics of the weights.

    Attributes:
        stopped_early: whether a callback ended the run, in its last phase, before its last epoch.
        last: the weights after the last epoch.
        best: the best weights by `run.monitor`, which model.keras and predictions use; None without any.
        sha256: the checksums of the published objects, by key; empty in runs of older versions.
        early_stopping: `train.early_stopping` of the run when it ended.
        phases: the epochs of each phase; empty without `train.phases`.
    """

    epochs: int
    steps: int
    stopped_early: bool
    last: Reached
    best: Reached | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)
    early_stopping: Mapping[str, Any] | None = None
    phases: Sequence[int] = ()

    @property
    def published(self) -> Reached:
        """The metrics of the weights in model.keras."""
        return self.best or self.last

    def epoch_of(self, reached: Reached) -> str:
        """The epoch of some weights, with their phase: "4, in phase 2 of 2"."""
        if not self.phases:
            return str(reached.epoch)
        number = phase_of_epoch(self.phases, reached.epoch - 1) + 1
        return f"{reached.epoch}, in phase {number} of {len(self.phases)}"

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
            **({"phases": list(self.phases)} if self.phases else {}),
        }
        return json.dumps(document, indent=1, allow_nan=False).encode()


def read_document(store: Store, folder: str = "") -> dict[str, Any]:
    """run.json as plain values. Raises DataError if it is missing, RunError if it cannot be read."""
    url = join(store.url, folder)
    try:
        data = store.get(_key(folder, layout.RUN))
    except FileNotFoundError:
        problem = f"{url}: there is no run here (no {layout.RUN})"
        raise DataError(problem, "Specify the folder of a run") from None
    return _read(data, f"{url}: {layout.RUN}", RUN_FORMAT)


def read_run(store: Store) -> RunDocument:
    """The run in a folder. Raises the errors of `read_document`."""
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
    """The results of a run; None if it has not finished. Raises RunError if finished.json cannot be read."""
    try:
        data = store.get(_key(folder, layout.FINISHED))
    except FileNotFoundError:
        return None
    name = f"{join(store.url, folder)}: {layout.FINISHED}"
    remedy = "Delete it and restart the run, which then publishes its results again"
    document = _read(data, name, FINISHED_FORMAT, remedy)
    epochs, steps, stopped_early = document["epochs"], document["steps"], document["stopped_early"]
    if "last" in document:
        return RunResult(
            epochs,
            steps,
            stopped_early,
            last=Reached(**document["last"]),
            best=Reached(**document["best"]) if document["best"] else None,
            sha256=document.get("sha256", {}),
            early_stopping=document.get("early_stopping"),
            phases=tuple(document.get("phases", ())),
        )
    # Before version 2 only the last weights were evaluated, before version 1 the metrics were called figures.
    metrics = document["metrics"] if "metrics" in document else document["figures"]
    return RunResult(epochs, steps, stopped_early, Reached(epochs, metrics))


def is_complete(finished: RunResult, epochs: int, phases: Sequence[int]) -> bool:
    """Whether it has trained all epochs of a run with phases of `phases` epochs, none without phases."""
    return finished.epochs >= (epochs_to_train(phases, finished.phases[:-1]) if phases else epochs)


def already_finished(store: Store, train: TrainSection) -> bool:
    """Whether all epochs are done, or a callback ended the run and `early_stopping` has not changed since."""
    finished = read_finished(store)
    if finished is None:
        return False
    if is_complete(finished, train.epochs, [phase.epochs for phase in train.phases or ()]):
        return True
    now = train.early_stopping.model_dump(mode="json") if train.early_stopping else None
    return finished.stopped_early and finished.early_stopping == now


def dump_run(run: RunDocument, generation: int) -> bytes:
    """run.json of a run whose checkpoints have `generation` or a later one."""
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
    """The versions of the packages on which a run's results depend, by name."""
    versions = {"cars-trainer": __version__}
    for name in ("tensorflow-cpu", "tensorflow", "keras", "horovod", "numpy", "pillow", "h5py"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _read(
    data: bytes, name: str, newest: int, remedy: str = "Restore it from a backup, or use a new run.url"
) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(data)
        version = int(document.get("version", 0))
    except (ValueError, TypeError, AttributeError):
        raise RunError(f"{name} is corrupt", remedy) from None
    if version > newest:
        raise RunError(
            f"{name} has version {version}; this trainer reads versions up to {newest}",
            "Use the trainer that made the run, or a newer one",
        )
    return document


def _key(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
