"""Runs with the same bits on any number of ranks, against those whose sums are float."""

import random
from dataclasses import asdict

from scripts.benches import whole_run
from scripts.benches.methods import run
from scripts.benches.whole_run import Pace, Workload
from trainer.machine.cores import usable_cores

WORKLOADS = {
    "resnet50": (Workload("resnet50", side=224, images=64, batch=32, epochs=1), 16),
    "lab": (Workload("lab-1", side=32, images=7680, batch=256, epochs=2), 32),
}
"""Name -> what is trained, and the lanes of a group of the exact run: half of a batch's."""
RANKS = (1, 2)


def measure() -> dict[str, float | None]:
    """One round, alternated, on one and two ranks, which share the cores by threads.

    `exact/float`: CPU seconds of an image, over those of the recipe as it is; `exact_wall/float_wall`: wall
    seconds likewise. `bytes`: of one exchange of an exact run, `bytes int64/float32`: over those of a float
    one; `seconds int64/float32`: what it takes, likewise.
    """
    order = [(name, ranks, exact) for name in WORKLOADS for ranks in RANKS for exact in (False, True)]
    random.shuffle(order)
    paces = {case: _train(*case) for case in order}
    found: dict[str, float | None] = {}
    for name, (workload, _) in WORKLOADS.items():
        for ranks in RANKS:
            floating, exact = paces[name, ranks, False], paces[name, ranks, True]
            where = f"{name} {ranks} rank{'s' * (ranks > 1)}"
            found[f"{where} exact/float"] = exact.cpu / floating.cpu
            found[f"{where} exact_wall/float_wall"] = exact.wall / floating.wall
        sent = {dtype: _exchanged(workload, dtype) for dtype in ("float32", "int64")}
        for what in ("bytes", "seconds"):
            found[f"{name} {what} int64/float32"] = sent["int64"][what] / sent["float32"][what]
        found[f"{name} bytes"] = sent["int64"]["bytes"]
    return found


def _train(name: str, ranks: int, exact: bool) -> Pace:
    workload, group = WORKLOADS[name]
    settings = {
        "train.exact": "true",
        "train.micro_batch": str(group),
        "train.threads": str(max(1, int(usable_cores()) // ranks)),
        "model.batch_norm": "grouped",
    }
    return whole_run.train(workload, ranks=ranks, settings=settings if exact else whole_run.NO_SETTINGS)


def _exchanged(workload: Workload, dtype: str) -> dict[str, float]:
    figures = run("exchange", asdict(workload) | {"dtype": dtype}, "scripts.benches.exchanging")
    assert figures
    return figures
