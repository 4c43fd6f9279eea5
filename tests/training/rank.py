"""A rank as tests start it: the real trainer, and a file a rank that tells what it saw.

Usage: python -m tests.training.rank CONFIG.yaml FOLDER [--delays SEED]
"""

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import keras

from trainer.config import load
from trainer.distribution import connect
from trainer.errors import TrainerError
from trainer.observability.metrics import RunMetrics
from trainer.observability.stacks import print_stacks_on_signal
from trainer.storage import open_store
from trainer.training.plan import make_plan
from trainer.training.run import train
from trainer.training.state import digest


class Witness(keras.callbacks.Callback):
    """Writes the digest of the state after each step, and sleeps at random where asked."""

    def __init__(self, path: Path, delays: int | None) -> None:
        super().__init__()
        self.file = path.open("a")
        self.random = None if delays is None else random.Random(delays)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        print(digest(self.model, self.model.optimizer), file=self.file, flush=True)
        if self.random:
            time.sleep(self.random.random() * float(os.environ.get("MOST_DELAY", "0.05")))

    def get_state(self) -> dict[str, Any]:
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        pass


def main() -> None:
    print_stacks_on_signal()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    config, folder = load(Path(sys.argv[1])), Path(sys.argv[2])
    distribution = connect(stop.is_set)
    delays = int(sys.argv[4]) + distribution.rank if len(sys.argv) > 3 else None
    (folder / f"pid-{distribution.rank}").write_text(str(os.getpid()))
    witness = Witness(folder / f"digests-{distribution.rank}", delays)
    plan = make_plan(config, distribution.size)
    try:
        train(plan, open_store(config.run.url), distribution, stop, RunMetrics(distribution.rank), [witness])
    except TrainerError as error:
        print(error, file=sys.stderr)
        leave(error.exit_code)
    leave(0)


def leave(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
