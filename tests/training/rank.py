"""A rank as tests start it: the real trainer, and a file a rank that tells what it saw.

Usage: python -m tests.training.rank CONFIG.yaml FOLDER [--delays SEED]
"""

import math
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from trainer.observability.tensorflow_import import quiet_tensorflow_import

with quiet_tensorflow_import():
    import keras

from tests.training.batches import watch_batches
from tests.training.fault import inject
from trainer.config import load
from trainer.distribution import connect, rank_status, rank_variables
from trainer.errors import TrainerError
from trainer.observability import log
from trainer.observability.metrics import RunMetrics
from trainer.observability.stacks import print_stacks_on_signal
from trainer.storage import open_store
from trainer.training.run import train
from trainer.training.run_plan import make_plan
from trainer.training.run_state import digest
from trainer.training.setup.build_network import setup_tensorflow
from trainer.training.setup.keep_state import keep_state


class Witness(keras.callbacks.Callback):
    """Writes each step's digest, and a line for each validation; sleeps at random where asked."""

    def __init__(self, folder: Path, rank: int, delays: int | None) -> None:
        super().__init__()
        self.file = (folder / f"digests-{rank}").open("a")
        self.validations = (folder / f"validations-{rank}").open("a")
        self.worked, self.shortest_work = 0.0, math.inf
        self.random = None if delays is None else random.Random(delays)

    def on_train_begin(self, logs: Any = None) -> None:
        if scale := os.environ.get("LOSS_SCALE"):
            self.model.optimizer.dynamic_scale.assign(float(scale))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        print(digest(self.model, self.model.optimizer), file=self.file, flush=True)
        worked = rank_status._mine.worked
        self.worked, self.shortest_work = worked, min(self.shortest_work, worked - self.worked)
        if self.random:
            time.sleep(self.random.random() * float(os.environ.get("MOST_DELAY", "0.05")))

    def on_test_begin(self, logs: Any = None) -> None:
        print("begun", file=self.validations, flush=True)
        time.sleep(0.05)

    def get_state(self) -> dict[str, Any]:
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        pass


def main() -> None:
    log.setup()
    print_stacks_on_signal()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    config, folder = load(Path(sys.argv[1])), Path(sys.argv[2])
    if rank_variables.keeps_state():
        keep_state(config)
        leave(0)
    setup_tensorflow(config)
    distribution = connect(stop.is_set)
    inject()
    watch_batches(folder)
    delays = int(sys.argv[4]) + distribution.rank if len(sys.argv) > 3 else None
    (folder / f"pid-{distribution.rank}").write_text(str(os.getpid()))
    witness = Witness(folder, distribution.rank, delays)
    plan = make_plan(config, distribution.size)
    try:
        train(plan, open_store(config.run.url), distribution, stop, RunMetrics(distribution.rank), [witness])
    except TrainerError as error:
        print(error, file=sys.stderr)
        leave(error.exit_code)
    (folder / f"work-{distribution.rank}").write_text(str(witness.shortest_work))
    leave(0)


def leave(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
