"""run.json, which says what a run is, and finished.json, which says how it ended."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from trainer import __version__
from trainer.config import RunConfig
from trainer.errors import DataError, RunError
from trainer.runs import layout
from trainer.storage import Store, join

FORMAT = 1
"""Of both documents. A newer trainer reads older ones; an older one refuses newer ones."""


@dataclass(frozen=True)
class RunDocument:
    """run.json.

    Attributes:
        identity: what makes two runs the same run, as plain values.
        config: the resolved configuration.
        classes: the names of the classes, in the order of the network's probabilities.
        image_shape: (H, W, C) of what the network is given.
        pixels: `mean` and `std` of the training images for each channel, in 0..255.
    """

    identity: Mapping[str, Any]
    config: RunConfig
    classes: Sequence[str]
    image_shape: tuple[int, int, int]
    pixels: Mapping[str, Any]


@dataclass(frozen=True)
class Finished:
    """finished.json: the epochs and steps that were trained, and the last metrics.

    `stopped_early`: a callback ended the run before its last epoch.
    """

    epochs: int
    steps: int
    stopped_early: bool
    metrics: Mapping[str, float]

    def dumps(self) -> bytes:
        """The JSON text."""
        document = {
            "version": FORMAT,
            "epochs": self.epochs,
            "steps": self.steps,
            "stopped_early": self.stopped_early,
            "metrics": dict(self.metrics),
        }
        return json.dumps(document, indent=1).encode()


def read_document(store: Store, folder: str = "") -> dict[str, Any]:
    """run.json as plain values. Raises DataError where there is none, RunError where it cannot be read."""
    where = join(store.url, folder)
    try:
        data = store.get(_key(folder, layout.RUN))
    except FileNotFoundError:
        raise DataError(f"{where}: there is no run here (no {layout.RUN})", "Name a run's folder") from None
    return _read(data, f"{where}: {layout.RUN}")


def read_run(store: Store) -> RunDocument:
    """The run in a folder. Raises as `read_document` does."""
    document = read_document(store)
    height, width, channels = document["image_shape"]
    return RunDocument(
        document["identity"],
        RunConfig.model_validate(document["config"]),
        document["classes"],
        (height, width, channels),
        document["pixels"],
    )


def read_finished(store: Store, folder: str = "") -> Finished | None:
    """How the run ended; None while it has not. Raises RunError where finished.json cannot be read."""
    try:
        data = store.get(_key(folder, layout.FINISHED))
    except FileNotFoundError:
        return None
    found = _read(data, f"{join(store.url, folder)}: {layout.FINISHED}")
    # Before version 1 the metrics were called figures.
    metrics = found["metrics"] if "metrics" in found else found["figures"]
    return Finished(found["epochs"], found["steps"], found["stopped_early"], metrics)


def already_finished(store: Store, epochs: int) -> bool:
    """Whether nothing is left to do: `epochs` are done, or the run stopped early by itself."""
    finished = read_finished(store)
    return finished is not None and (finished.stopped_early or epochs <= finished.epochs)


def check_identity(store: Store, identity: Mapping[str, Any]) -> None:
    """Raises RunError when the folder is another run's."""
    try:
        known = read_document(store)["identity"]
    except DataError:
        return
    for key, value in json.loads(json.dumps(identity)).items():
        if known.get(key) != value:
            raise RunError(
                f"{store.url} is another run's folder: its {key} is {known.get(key)!r}, "
                f"this run's is {value!r}",
                "Give this run a run.url of its own, or change the value back",
            )


def claim_folder(store: Store, run: RunDocument) -> None:
    """Writes run.json where there is none; the folder is this run's from then on.

    Raises RunError when it is another run's.
    """
    document = {
        "version": FORMAT,
        "identity": run.identity,
        "config": run.config.model_dump(mode="json"),
        "classes": list(run.classes),
        "image_shape": list(run.image_shape),
        "pixels": run.pixels,
        "versions": versions(),
    }
    try:
        store.put(layout.RUN, json.dumps(document, indent=1).encode(), if_absent=True)
    except FileExistsError:
        check_identity(store, run.identity)
    store.put(layout.CLASSES, classes_json(run.classes))


def classes_json(classes: Sequence[str]) -> bytes:
    """The names of a network's classes, in the order of its probabilities, as a JSON list."""
    return json.dumps(list(classes), ensure_ascii=False, indent=1).encode()


def versions() -> dict[str, str]:
    """The versions of the packages that decide what a run computes, by name."""
    found = {"cars-trainer": __version__}
    for name in ("tensorflow-cpu", "tensorflow", "keras", "horovod", "numpy", "h5py"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _read(data: bytes, what: str) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(data)
        version = int(document.get("version", 0))
    except (ValueError, TypeError, AttributeError):
        raise RunError(f"{what} is damaged", "Restore it from a backup, or use a new run.url") from None
    if version > FORMAT:
        raise RunError(
            f"{what} is of version {version}; this trainer reads versions up to {FORMAT}",
            "Use the trainer that made the run, or a newer one",
        )
    return document


def _key(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
