"""The runs below a prefix, and the progress of each."""

from collections import defaultdict
from dataclasses import dataclass, field

from trainer.errors import DataError
from trainer.runs import layout
from trainer.runs.history import best_epoch, read_history
from trainer.runs.run_document import Reached, is_complete, read_document, read_finished
from trainer.storage import Store, join

HERE = "."
"""The name of the run whose folder is the prefix itself."""


@dataclass(frozen=True)
class ListedRun:
    """A run below a prefix.

    Attributes:
        name: its folder, relative to the prefix.
        url: of its folder.
        network: its name in the configuration.
        dataset: URL.
        state: `begun` (no checkpoint yet), `unfinished`, `finished` or `stopped early`.
        step: the step of the newest checkpoint, or of the end.
        epochs: finished epochs.
        of: configured epochs.
        best: the best weights by `run.monitor`, None before the first epoch has ended; see `Reached`.
        last: the weights after the last finished epoch; their checkpoint may be older.
        changed: when one of its objects was last written, in seconds since the epoch.
    """

    name: str
    url: str
    network: str
    dataset: str
    state: str
    step: int
    epochs: int
    of: int
    best: Reached | None
    last: Reached | None
    changed: float


@dataclass
class _Folder:
    names: set[str] = field(default_factory=set)
    committed: list[layout.Attempt] = field(default_factory=list)
    changed: float = 0.0


def find_runs(store: Store) -> list[ListedRun]:
    """Every run at or below the store's URL, by name. Raises DataError if there is none."""
    folders: dict[str, _Folder] = defaultdict(_Folder)
    for info in store.list():
        split = layout.split_run(info.key)
        if split is None:
            continue
        folder, name = folders[split[0]], split[1]
        folder.names.add(name)
        folder.changed = max(folder.changed, info.modified)
        checkpoint = layout.parse_checkpoint_key(name)
        if checkpoint and checkpoint[2] == layout.COMMIT:
            folder.committed.append(checkpoint[1])
    runs = [_listed(store, run, folders[run]) for run in sorted(folders) if layout.RUN in folders[run].names]
    if not runs:
        raise DataError(
            f"{store.url}: there is no run here", f"Specify a prefix below which there is a {layout.RUN}"
        )
    return runs


def _listed(store: Store, folder: str, content: _Folder) -> ListedRun:
    document = read_document(store, folder)
    config, since = document["config"], document.get("generation", 0)
    step = max((a.step for a in content.committed if a.generation >= since), default=0)
    history = (
        read_history(store.get(f"{folder}/{layout.METRICS}".lstrip("/")))
        if layout.METRICS in content.names
        else []
    )
    epochs, wanted = len(history), config["train"]["epochs"]
    state = "unfinished" if step else "begun"
    best, last = _reached(history, config.get("run", {}).get("monitor", "val_accuracy"))
    if epochs < config["train"].get("validation_freq", 1):
        best = None  # the history looks like that of a run without a validation split
    finished = read_finished(store, folder) if layout.FINISHED in content.names else None
    phases = [phase["epochs"] for phase in config["train"].get("phases") or ()]
    complete = finished and (finished.stopped_early or is_complete(finished, wanted, phases))
    if finished and complete and step <= finished.steps:
        state = "stopped early" if finished.stopped_early else "finished"
        step, epochs, best, last = finished.steps, finished.epochs, finished.best, finished.last
    return ListedRun(
        name=folder or HERE,
        url=join(store.url, folder),
        network=config["model"]["name"],
        dataset=config["data"]["url"],
        state=state,
        step=step,
        epochs=epochs,
        of=max(wanted, epochs),
        best=best,
        last=last,
        changed=content.changed,
    )


def _reached(history: list[dict[str, float]], monitor: str) -> tuple[Reached | None, Reached | None]:
    """The best and the last epoch; None, None before the first has ended."""
    if not history:
        return None, None
    best = best_epoch(history, monitor)
    last = Reached(len(history), history[-1])
    return (None if best is None else Reached(best + 1, history[best])), last
