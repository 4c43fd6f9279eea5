"""The runs below a prefix, and how far each of them is."""

from collections import defaultdict
from collections.abc import Container, Mapping
from dataclasses import dataclass

from trainer.errors import DataError
from trainer.runs import layout
from trainer.runs.document import read_document, read_finished
from trainer.runs.history import read_history
from trainer.storage import Store, join


@dataclass(frozen=True)
class ListedRun:
    """A run below a prefix.

    Attributes:
        state: `begun` (no checkpoint yet), `unfinished`, `finished` or `stopped early`.
        step: that of the newest checkpoint, or of the end.
        epochs: the finished ones.
        of: the epochs wanted.
        metrics: the last epoch's, and the test split's once the run is finished.
    """

    url: str
    network: str
    dataset: str
    state: str
    step: int
    epochs: int
    of: int
    metrics: Mapping[str, float]

    def __str__(self) -> str:
        named = ("test_accuracy", "val_accuracy", "accuracy")
        shown = next((f"  {name} {self.metrics[name]:.4f}" for name in named if name in self.metrics), "")
        return f"{self.url}  {self.state}  epoch {self.epochs}/{self.of}  step {self.step}{shown}"


def find_runs(store: Store) -> list[ListedRun]:
    """Every run at or below the store's URL, by name. Raises DataError where there is none."""
    names: dict[str, set[str]] = defaultdict(set)
    committed: dict[str, int] = defaultdict(int)
    for info in store.list():
        if found := layout.parse_checkpoint_key(info.key):
            folder, attempt, name = found
            if name == layout.COMMIT:
                committed[folder] = max(committed[folder], attempt.step)
        else:
            folder, _, name = info.key.rpartition("/")
            names[folder].add(name)
    runs = [
        _listed(store, folder, there, committed[folder])
        for folder, there in sorted(names.items())
        if layout.RUN in there
    ]
    if not runs:
        raise DataError(
            f"{store.url}: there is no run here", f"Name a prefix below which there is a {layout.RUN}"
        )
    return runs


def _listed(store: Store, folder: str, names: Container[str], committed: int) -> ListedRun:
    config = read_document(store, folder)["config"]
    history = (
        read_history(store.get(f"{folder}/{layout.METRICS}".lstrip("/"))) if layout.METRICS in names else []
    )
    metrics = history[-1] if history else {}
    state, step, epochs = "unfinished" if committed else "begun", committed, len(history)
    finished = read_finished(store, folder) if layout.FINISHED in names else None
    if finished:
        state = "stopped early" if finished.stopped_early else "finished"
        step, epochs, metrics = finished.steps, finished.epochs, metrics | dict(finished.metrics)
    network, dataset, of = config["model"]["name"], config["data"]["url"], config["train"]["epochs"]
    return ListedRun(join(store.url, folder), network, dataset, state, step, epochs, of, metrics)
