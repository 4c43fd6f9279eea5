"""A run's folder: who the run is, whether it is finished, and the files that people download."""

import csv
import io
import json
from importlib import metadata

from trainer import __version__
from trainer.config import RunConfig
from trainer.errors import DataError, RunError
from trainer.runs import FINISHED, FORMAT, RUN, read_document
from trainer.storage import Store
from trainer.training.card import classes_json
from trainer.training.plan import Plan

LEADING_COLUMNS = ("epoch", "accuracy", "loss", "val_accuracy", "val_loss")
"""CSVLogger's columns, so that the documents' gnuplot lines (columns 1, 2 and 4) work."""


def check_identity(store: Store, plan: Plan) -> None:
    """Raises RunError when the folder is another run's."""
    try:
        known = read_document(store)
    except DataError:
        return
    identity = json.loads(json.dumps(plan.identity))
    for key, value in identity.items():
        if known["identity"].get(key) != value:
            raise RunError(
                f"{store.url} is another run's folder: its {key} is {known['identity'].get(key)!r}, "
                f"this run's is {value!r}",
                "Give this run a run.url of its own, or change the value back",
            )


def claim(store: Store, plan: Plan) -> None:
    """Writes run.json where there is none; the folder is this run's from then on."""
    train = plan.dataset.split("train")
    document = {
        "version": FORMAT,
        "identity": plan.identity,
        "config": plan.config.model_dump(mode="json"),
        "classes": list(plan.dataset.classes),
        "image_shape": list(plan.image_shape),
        "pixels": {"mean": train.mean, "std": train.std},
        "versions": versions(),
    }
    try:
        store.put(RUN, json.dumps(document, indent=1).encode(), if_absent=True)
    except FileExistsError:
        check_identity(store, plan)
    store.put("weights/classes.json", classes_json(plan.dataset.classes))


def versions() -> dict[str, str]:
    """What this run is made of: distribution -> version."""
    found = {"cars-trainer": __version__}
    for name in ("tensorflow-cpu", "tensorflow", "keras", "horovod", "numpy", "h5py"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def already_finished(store: Store, config: RunConfig) -> bool:
    """Whether nothing is left to do: all epochs are done, or the run stopped early by itself."""
    try:
        document = json.loads(store.get(FINISHED))
    except FileNotFoundError:
        return False
    return bool(document["stopped_early"] or config.train.epochs <= document["epochs"])


def finished_json(*, epochs: int, steps: int, stopped_early: bool, figures: dict[str, float]) -> bytes:
    """What `already_finished` reads: how far the run came, and its last figures."""
    document = {"epochs": epochs, "steps": steps, "stopped_early": stopped_early, "figures": figures}
    return json.dumps(document, indent=1).encode()


def metrics_csv(history: list[dict[str, float]]) -> bytes:
    """A run's history in the form of Keras's CSVLogger."""
    text = io.StringIO()
    others = sorted({name for row in history for name in row} - set(LEADING_COLUMNS))
    present = [c for c in LEADING_COLUMNS if c == "epoch" or any(c in row for row in history)]
    writer = csv.DictWriter(text, [*present, *others], restval="NA", lineterminator="\n")
    writer.writeheader()
    for epoch, row in enumerate(history):
        writer.writerow({"epoch": epoch, **row})
    return text.getvalue().encode()
