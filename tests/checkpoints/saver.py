"""A process that saves through a store of which every tenth request fails, until it is killed."""

import logging
import os
import random
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from trainer.checkpoints.restore import restore
from trainer.checkpoints.training_state import TrainingState
from trainer.checkpoints.writer import CheckpointWriter
from trainer.runs.background_writer import Background
from trainer.runs.fence import Fence, Superseded
from trainer.storage import Buffer, ObjectInfo, Store, open_store
from trainer.storage.base import RemoteStore

T = TypeVar("T")


def state(step: int) -> TrainingState:
    """What a run is at `step`: a function of the step alone."""
    draw = np.random.default_rng(step)
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "kernel": draw.normal(size=(100, 100)),
        "bias": draw.normal(size=1000 + step % 7).astype(np.float32),
        "step": np.array(step),
    }
    return TrainingState(step, arrays, {"step": step, "history": list(range(step % 10))})


def is_whole(found: TrainingState) -> bool:
    """Whether every byte is that of the state of its step."""
    expected = state(found.step)
    return (
        found.values == expected.values
        and list(found.arrays) == list(expected.arrays)
        and all(found.arrays[k].tobytes() == v.tobytes() for k, v in expected.arrays.items())
    )


class Flaky(RemoteStore):
    """A store of which a share of the requests times out, half of them after they were carried out."""

    refuses_conditions = refuses_checksums = False

    def __init__(self, store: Store, seed: int, share: float) -> None:
        self.store, self.url, self.share = store, store.url, share
        self.draw = random.Random(seed)

    def _try(self, request: Callable[[], T]) -> T:
        luck = self.draw.random() / self.share
        if luck < 0.5:
            raise TimeoutError("the request was lost")
        result = request()
        if luck < 1:
            raise TimeoutError("the answer was lost")
        return result

    def get(self, key: str) -> bytes:
        return self._try(lambda: self.store.get(key))

    def get_range(self, key: str, start: int, stop: int, **options: Any) -> memoryview:
        return self._try(lambda: self.store.get_range(key, start, stop, **options))

    def put(self, key: str, data: Buffer, **options: Any) -> str:
        return self._try(lambda: self.store.put(key, data, **options))

    def put_file(self, key: str, path: Path) -> str:
        return self._try(lambda: self.store.put_file(key, path))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return iter(self._try(lambda: list(self.store.list(prefix))))

    def stat(self, key: str) -> ObjectInfo:
        return self._try(lambda: self.store.stat(key))

    def delete(self, key: str) -> None:
        self._try(lambda: self.store.delete(key))


def insist(request: Callable[[], T]) -> T:
    while True:
        try:
            return request()
        except TimeoutError:
            continue


def work(url: str, env: dict[str, str], seed: int, out: Connection) -> None:
    """Goes on from the last checkpoint; sends ("restored" | "acknowledged", step) until it is killed."""
    os.environ.update(env)
    logging.disable()
    store = Flaky(open_store(url), seed, share=0.1)
    fence = insist(lambda: Fence.take(store, {"pid": os.getpid()}))
    restored = insist(lambda: restore(store))
    if restored is not None and not is_whole(restored):
        out.send(("torn", restored.step))
        return
    step = restored.step if restored else 0
    out.send(("restored", step))
    told = None
    background = Background(store.url, max_failures=10**6, budget=0.1)
    with CheckpointWriter(
        store, fence, background, keep_last=2, read_age=0, orphan_age=0, piece_bytes=30_000
    ) as checkpoints:
        try:
            while True:
                step += 1
                checkpoints.save(state(step), wait=store.draw.random() < 0.1)
                if checkpoints.last_step != told:
                    told = checkpoints.last_step
                    out.send(("acknowledged", told))
        except Superseded:
            out.send(("superseded", step))
