"""What a run's folder says to those who only read it: who the run is, and which runs lie under a prefix."""

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainer import models
from trainer.config import RunConfig
from trainer.errors import DataError, RunError
from trainer.storage import Store, join

if TYPE_CHECKING:
    import keras

FORMAT = 1
RUN = "run.json"
FINISHED = "finished.json"
METRICS = "metrics.csv"
COMMIT = "commit.json"

_CHECKPOINT = re.compile(r"(?P<run>(.*(?=/))?)/?checkpoints/(?P<step>[0-9]+)/[^/]+")


@dataclass(frozen=True)
class RunDocument:
    """run.json: what a run is. `image_shape` is (H, W, C) of what its network is given."""

    config: RunConfig
    classes: list[str]
    image_shape: tuple[int, int, int]
    pixels: dict[str, Any]

    def network(self) -> "keras.Model":
        """The run's network, with fresh weights."""
        model = self.config.model
        built: keras.Model = models.build(model.name, self.image_shape, len(self.classes), model.options)
        return built


@dataclass(frozen=True)
class Listed:
    """A run under a prefix.

    `step` is that of the newest commit, or of the end; `epochs` those that are done, `of` those wanted;
    `figures` are the last epoch's, and the test's when it is finished.
    """

    url: str
    network: str
    dataset: str
    state: str
    step: int
    epochs: int
    of: int
    figures: Mapping[str, float]

    def __str__(self) -> str:
        named = ("test_accuracy", "val_accuracy", "accuracy")
        figure = next((f"  {name} {self.figures[name]:.4f}" for name in named if name in self.figures), "")
        return f"{self.url}  {self.state}  epoch {self.epochs}/{self.of}  step {self.step}{figure}"


def read_document(store: Store, folder: str = "") -> dict[str, Any]:
    """run.json as plain values. Raises DataError where there is none, RunError where it cannot be read."""
    where = join(store.url, folder)
    try:
        document: dict[str, Any] = json.loads(store.get(_key(folder, RUN)))
    except FileNotFoundError:
        raise DataError(f"{where}: there is no run here (no {RUN})", "Name a run's folder") from None
    except ValueError:
        raise RunError(f"{where}: {RUN} is damaged", "Bring it back, or use a new run.url") from None
    if document["version"] > FORMAT:
        raise RunError(
            f"{where}: the run is of format {document['version']}, this trainer reads up to {FORMAT}",
            "Use the newer trainer that made it",
        )
    return document


def read_run(store: Store) -> RunDocument:
    """The run in a folder. Raises as `read_document` does."""
    document = read_document(store)
    height, width, channels = document["image_shape"]
    return RunDocument(
        RunConfig.model_validate(document["config"]),
        document["classes"],
        (height, width, channels),
        document["pixels"],
    )


def find_runs(store: Store) -> list[Listed]:
    """Every run at or below the store's URL, by name. Raises DataError where there is none."""
    there: dict[str, set[str]] = defaultdict(set)
    committed: dict[str, int] = defaultdict(int)
    for info in store.list():
        folder, _, name = info.key.rpartition("/")
        if name == COMMIT and (found := _CHECKPOINT.fullmatch(folder)):
            committed[found["run"]] = max(committed[found["run"]], int(found["step"]))
        else:
            there[folder].add(name)
    runs = [
        _listed(store, folder, names, committed[folder])
        for folder, names in sorted(there.items())
        if RUN in names
    ]
    if not runs:
        raise DataError(f"{store.url}: there is no run here", f"Name a prefix below which a {RUN} lies")
    return runs


def _listed(store: Store, folder: str, names: Container[str], committed: int) -> Listed:
    config = read_document(store, folder)["config"]
    history = store.get(_key(folder, METRICS)).decode() if METRICS in names else ""
    rows = list(csv.DictReader(io.StringIO(history)))
    figures = {name: float(value) for name, value in rows[-1].items() if value != "NA"} if rows else {}
    figures.pop("epoch", None)
    state, step, epochs = "unfinished" if committed else "begun", committed, len(rows)
    if FINISHED in names:
        end = json.loads(store.get(_key(folder, FINISHED)))
        state = "stopped early" if end["stopped_early"] else "finished"
        step, epochs, figures = end["steps"], end["epochs"], figures | end["figures"]
    network, dataset, of = config["model"]["name"], config["data"]["url"], config["train"]["epochs"]
    return Listed(join(store.url, folder), network, dataset, state, step, epochs, of, figures)


def _key(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
