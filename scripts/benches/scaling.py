"""Two ranks on this machine's cores against one, and against two trainers that know nothing of each other."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

from scripts.benches import whole_run
from scripts.benches.methods import run
from scripts.benches.whole_run import Pace, Workload

WORKLOADS = {
    "resnet50": Workload("resnet50", side=224, images=64, batch=32, epochs=1),
    "lab": Workload("lab-1", side=32, images=7680, batch=256, epochs=2),
}


def measure() -> dict[str, float | None]:
    """One round, of each network at one global batch.

    `cpu_per_image_1/cpu_per_image_2`: CPU seconds of an image, one rank over two. `wall_two/one`: images/s,
    two ranks over one. `wall_apart/one`: two trainers at once, of half the batch and the cores each.
    `exchange_share`: of a step of two ranks, the exchange itself, without waiting for the later rank.
    `predicted/measured`: seconds of an image on two ranks, as the sum of what two trainers apart take and the
    exchange, over what they took.
    """
    ways: dict[str, Callable[[Workload], Pace]] = {
        "one": whole_run.train,
        "two": lambda workload: whole_run.train(workload, ranks=2),
        "apart": _apart,
    }
    order = [(name, way) for name in WORKLOADS for way in ways]
    random.shuffle(order)
    paces = {(name, way): ways[way](WORKLOADS[name]) for name, way in order}
    found: dict[str, float | None] = {}
    for name, workload in WORKLOADS.items():
        one, two, apart = (paces[name, way] for way in ways)
        exchange = run("exchange", asdict(workload), "scripts.benches.exchanging")
        assert exchange
        found |= {
            f"{name} cpu_per_image_1/cpu_per_image_2": one.cpu / two.cpu,
            f"{name} wall_two/one": one.wall / two.wall,
            f"{name} wall_apart/one": one.wall / apart.wall,
            f"{name} wall_two/apart": apart.wall / two.wall,
            f"{name} exchange_share": exchange["seconds"] / (two.wall * workload.batch),
            f"{name} predicted/measured": (apart.wall + exchange["seconds"] / workload.batch) / two.wall,
            f"{name} images/s": 1 / one.wall,
        }
    return found


def _apart(workload: Workload) -> Pace:
    """Two trainers at once, each with half the images in half batches, so that both end together."""
    half = replace(workload, images=workload.images // 2, batch=workload.batch // 2)
    whole_run.data(half.side, half.images)
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda _: whole_run.train(half, beside=1), range(2)))
    return Pace(wall=1 / sum(1 / pace.wall for pace in both), cpu=sum(pace.cpu for pace in both) / len(both))
