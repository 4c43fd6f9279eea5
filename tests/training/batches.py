"""What a rank of the tests reads: written down, or slowed down, as the environment asks."""

import json
import os
import time
from hashlib import blake2b
from pathlib import Path
from typing import Any

from trainer.dataset.pipeline.stream import BatchStream, TensorBatch
from trainer.distribution import rank_variables
from trainer.training.data import RankData

RECORD = "RECORD_ROWS"
"""Set: the rows of each step that begins are appended to `rows-<rank>`, by digests of image and label."""
SLOW = "SLOW_RANK"
"""`rank seconds`: that rank takes so much longer to read a batch."""


class Batches:
    """A stream of batches, of the steps from `step` on."""

    def __init__(self, stream: BatchStream, folder: Path, data: RankData, step: int) -> None:
        self.stream, self.data, self.step = stream, data, step
        self.file = (folder / f"rows-{data.rank}").open("a") if RECORD in os.environ else None
        rank, seconds = os.environ.get(SLOW, "-1 0").split()
        self.delay = float(seconds) if int(rank) == data.rank else 0.0

    def __enter__(self) -> "Batches":
        self.batches = iter(self.stream.__enter__())
        return self

    def __exit__(self, *error: Any) -> None:
        self.stream.__exit__(*error)

    def __next__(self) -> TensorBatch:
        batch = next(self.batches)
        if self.file:
            _, images, labels, weights = (tensor.numpy() for tensor in batch)
            rows = [
                blake2b(image.tobytes() + label.tobytes(), digest_size=8).hexdigest()
                for image, label, weight in zip(images, labels, weights, strict=True)
                if weight > 0
            ]
            start = f"{rank_variables.generation()}-{os.environ[rank_variables.RENDEZVOUS_PORT]}"
            record = {"step": self.step, "ranks": self.data.size, "start": start, "rows": rows}
            print(json.dumps(record), file=self.file, flush=True)
        time.sleep(self.delay)
        self.step += 1
        return batch


def watch_batches(folder: Path) -> None:
    """From now on this process reads as `RECORD` and `SLOW` say."""
    if not {RECORD, SLOW} & os.environ.keys():
        return
    patched: Any = RankData
    training = RankData.training
    patched.training = lambda data, step: Batches(training(data, step), folder, data, step)
