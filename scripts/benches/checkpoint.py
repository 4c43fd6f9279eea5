"""What checkpoints cost a ResNet-50 that saves every 60 s: time stalled inside them, and memory.

The store is the S3 that AWS_ENDPOINT_URL names (and CARS_BENCH_BUCKET), else one of our own on loopback.
"""

import json
import os
import sys
import threading
import time
import uuid
from pathlib import Path

from scripts.benches.measured import report
from scripts.benches.methods import run
from scripts.benches.store import kept_store
from trainer.observability.tensorflow_import import quiet_tensorflow_import

EVERY_SECONDS = 60.0
WARM_SECONDS = 10.0
PAUSE_SECONDS = 15.0
"""Between two saves here: longer than one takes. What a save stalls does not depend on it."""
SAVES = 3
BATCH, SIZE = 16, 64


def measure() -> dict[str, float | None]:
    """`stalled_share`: seconds inside a checkpoint over EVERY_SECONDS; `memory_copies`: of the state,
    its own one and what the highest resident set grows by while checkpoints are taken."""
    bucket, folder = kept_store()
    figures = run("saving", {"bucket": bucket, "folder": str(folder / uuid.uuid4().hex)}, __name__)
    assert figures
    return figures


def saving(folder: Path, bucket: str) -> dict[str, float]:
    """One round, in a process of its own."""
    from scripts.quickstart import write_digits
    from trainer.checkpoints.writer import CheckpointWriter
    from trainer.config.load import parse
    from trainer.distribution.single import Single
    from trainer.preparation.prepare import prepare
    from trainer.runs.fence import Fence
    from trainer.storage import open_store
    from trainer.training.run_plan import make_plan

    with quiet_tensorflow_import():
        from trainer.training.data import RankData
        from trainer.training.run_state import Progress, capture
        from trainer.training.setup.build_network import build
        from trainer.training.setup.network_steps import make_step

    images = write_digits(folder / "images")
    prepare(str(images / "train"), f"file://{folder}/data", validation=0.1)
    config = parse(
        {
            "data": {"url": f"file://{folder}/data", "image_size": SIZE},
            "model": {"name": "resnet50"},
            "train": {"batch_size": BATCH, "optimizer": {"name": "sgd", "momentum": 0.9}},
            "run": {"url": f"s3://{bucket}/runs/{os.getpid()}-{time.time_ns()}"},
        }
    )
    plan, store, single = make_plan(config, 1), open_store(config.run.url), Single()
    model, optimizer = build(plan)
    data = RankData(plan, single)
    step = make_step(plan, single, data, model, optimizer)
    progress = Progress()
    state_bytes = sum(array.nbytes for array in capture(model, optimizer, progress, []).arrays.values())
    with CheckpointWriter(store, Fence.take(store, {"bench": "checkpoint"})) as checkpoints:
        batches = data.training(0)

        def train_for(seconds: float) -> None:
            began = time.monotonic()
            while time.monotonic() - began < seconds:
                _, images, labels, weights = next(batches)
                step.read(step(progress.step, images, labels, weights, False))
                progress.step += 1

        train_for(WARM_SECONDS)
        with _Memory() as without:
            train_for(WARM_SECONDS)
        with _Memory() as saving:
            for _ in range(SAVES):
                checkpoints.save(capture(model, optimizer, progress, []))
                train_for(PAUSE_SECONDS)
        stalled = checkpoints.stalled_seconds
        batches.close()
    return {
        "stalled_share": stalled / SAVES / EVERY_SECONDS,
        "memory_copies": 1 + max(0, saving.highest - without.highest) / state_bytes,
    }


class _Memory:
    """The highest resident set meanwhile, in bytes."""

    def __enter__(self) -> "_Memory":
        self.highest = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while not self._done.wait(0.02):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.highest = max(self.highest, pages * page)


if __name__ == "__main__":
    options = json.loads(sys.argv[2])
    report(saving(Path(options["folder"]), options["bucket"]))
