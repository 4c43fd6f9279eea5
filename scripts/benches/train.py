"""The whole trainer, from S3 with a checkpoint an epoch, against Keras's `fit` from arrays in memory."""

import random
from dataclasses import asdict

from scripts.benches import whole_run
from scripts.benches.methods import run
from scripts.benches.whole_run import Pace, Workload

WORKLOADS = {
    "resnet50": Workload("resnet50", side=224, images=64, batch=16, epochs=1),
    "lab": Workload("lab-1", side=32, images=7500, batch=100, epochs=2),
}
_MODULE = "scripts.benches.bare_fit"


def measure() -> dict[str, float | None]:
    """One round. `X/keras_fit`: CPU seconds of an image, bare Keras over ours, with the same threads and
    nothing compiled by XLA; `X/keras_fit wall` likewise. `observability_share`: CPU seconds that metrics,
    log and progress take of each step of the small network, over those of the step."""
    order = [(name, method) for name in WORKLOADS for method in ("ours", "keras")]
    random.shuffle(order)
    paces: dict[tuple[str, str], Pace] = {}
    for name, method in order:
        workload = WORKLOADS[name]
        if method == "ours":
            paces[name, method] = whole_run.train(workload)
            continue
        figures = run("fit", asdict(workload), _MODULE)
        assert figures
        paces[name, method] = Pace(figures["wall"], figures["cpu"])
    observing = run("observe", {}, _MODULE)
    assert observing
    lab = WORKLOADS["lab"]
    found: dict[str, float | None] = {}
    for name in WORKLOADS:
        ours, keras = paces[name, "ours"], paces[name, "keras"]
        found[f"{name}/keras_fit"] = keras.cpu / ours.cpu
        found[f"{name}/keras_fit wall"] = keras.wall / ours.wall
        found[f"{name} images/s"] = 1 / ours.wall
        found[f"{name} keras images/s"] = 1 / keras.wall
    found["observability_share"] = observing["cpu"] / (paces["lab", "ours"].cpu * lab.batch)
    return found
