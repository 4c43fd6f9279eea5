"""A run of one rank in the process of a test."""

import threading
from pathlib import Path
from typing import Any

import keras

from trainer.config import load
from trainer.distribution import Distribution
from trainer.distribution.single import Single
from trainer.observability.metrics import RunMetrics
from trainer.runs.run_document import RunResult
from trainer.storage import Store, open_store
from trainer.training import run
from trainer.training.run_plan import make_plan
from trainer.training.setup.build_network import setup_tensorflow


def train(
    config: Path,
    *callbacks: keras.callbacks.Callback,
    store: Any = None,
    stop: threading.Event | None = None,
    distribution: Distribution | None = None,
) -> RunResult:
    """`store` stands for the run's folder, `stop` for a request to stop, `distribution` for its only rank."""
    values = load(config)
    setup_tensorflow(values)
    return run.train(
        make_plan(values, 1),
        store or open_store(values.run.url),
        distribution or Single(),
        stop or threading.Event(),
        RunMetrics(0),
        callbacks,
    )


def store_of(config: Path) -> Store:
    """The run's folder."""
    return open_store(load(config).run.url)
