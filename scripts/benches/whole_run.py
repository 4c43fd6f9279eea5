"""A training by the command, as a user runs it, measured between the ends of two of its epochs."""

import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import psutil

from scripts.benches.images import make_random_dataset
from scripts.benches.store import kept_store
from trainer.machine.cores import thread_environment, usable_cores

NO_SETTINGS: Mapping[str, str] = {}
FROM_EPOCH = 1
"""What comes before its end, building and the first steps, is not counted."""

_EPOCH_ENDS = re.compile(r"epoch (\d+)/\d+  loss")


@dataclass(frozen=True)
class Pace:
    """Seconds of an image: wall, and CPU of all processes of the run."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Workload:
    """A network that is trained on random images.

    Attributes:
        recipe: whose network and optimizer they are.
        side: of the images in pixels.
        images: of an epoch.
        batch: the global batch.
        epochs: how many are counted.
    """

    recipe: str
    side: int
    images: int
    batch: int
    epochs: int


@cache
def data(side: int, images: int) -> str:
    """The URL of a dataset in the store."""
    bucket, folder = kept_store()
    url = f"s3://{bucket}/data-{side}-{images}"
    make_random_dataset(folder, url, images, (side, side, 3))
    return url


def train(
    workload: Workload, *, ranks: int = 1, beside: int = 0, settings: Mapping[str, str] = NO_SETTINGS
) -> Pace:
    """Trains from the store into a fresh run there, with a checkpoint an epoch.

    `beside`: so many others share the cores. `settings`: other values of the configuration, by key.
    Raises RuntimeError where the training fails.
    """
    url = data(workload.side, workload.images)
    last = FROM_EPOCH + workload.epochs
    values = {
        "data.url": url,
        "data.augment": "{}",
        "run.url": f"{url}-runs/{uuid.uuid4().hex}",
        "run.checkpoint.every": "1 epochs",
        "train.epochs": last,
        "train.batch_size": workload.batch,
        "metrics": "{port: 0, linger: 0}",
        **settings,
    }
    words = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "trainer", "train", "--recipe", workload.recipe, "--ranks", str(ranks)]
    environment = thread_environment(1 + beside, usable_cores()) if beside else {}
    marks: list[tuple[float, float]] = []
    said: list[str] = []
    with subprocess.Popen(
        [*command, *words], stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ) as process:
        assert process.stderr
        for line in process.stderr:
            said.append(line)
            found = _EPOCH_ENDS.search(line)
            if found and int(found[1]) in (FROM_EPOCH, last):
                marks.append((time.monotonic(), _cpu_seconds(psutil.Process(process.pid))))
    if process.returncode or len(marks) != 2:
        raise RuntimeError(f"{workload.recipe} on {ranks} ranks: exit {process.returncode}\n{''.join(said)}")
    images = workload.images * workload.epochs
    (began, before), (ended, after) = marks
    return Pace((ended - began) / images, (after - before) / images)


def _cpu_seconds(process: Any) -> float:
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))
