"""Where the time of each epoch goes, on this rank."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from trainer.runs import layout
from trainer.runs.timing import EpochTiming, read_timing
from trainer.storage import Store


class Timer:
    """Adds up the seconds of an epoch.

    Args:
        previous: the epochs that are done.
        publish: called with all epochs after each of them.
        gpus, cores: of all ranks.
    """

    def __init__(
        self,
        generation: int,
        ranks: int,
        previous: Sequence[EpochTiming],
        publish: Callable[[Sequence[EpochTiming]], None],
        *,
        gpus: int = 0,
        cores: float = 0.0,
    ) -> None:
        self.rows = list(previous)
        self._gpus, self._cores = gpus, cores
        self._generation, self._ranks, self._publish = generation, ranks, publish
        self._begin()

    def step(self, images: int, waited: float, worked: float) -> None:
        """Adds a step of `images` images over all ranks; in seconds."""
        self._images += images
        self._waiting += waited
        self._training += worked

    @contextmanager
    def validation(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._validation += time.perf_counter() - began

    @contextmanager
    def saving(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._saving += time.perf_counter() - began

    def end_epoch(self, epoch: int) -> None:
        """Ends `epoch`, counted from 0."""
        self.rows.append(
            EpochTiming(
                epoch=epoch,
                generation=self._generation,
                ranks=self._ranks,
                images=self._images,
                seconds=time.perf_counter() - self._began,
                waiting=self._waiting,
                training=self._training,
                validation=self._validation,
                saving=self._saving,
                gpus=self._gpus,
                cores=self._cores,
            )
        )
        self._publish(self.rows)
        self._begin()

    def _begin(self) -> None:
        self._began = time.perf_counter()
        self._images = 0
        self._waiting = self._training = self._validation = self._saving = 0.0


def read_previous_epochs(store: Store, epochs: int) -> list[EpochTiming]:
    """The first `epochs` epochs as a run's folder has them; those that nobody published are missing."""
    with suppress(FileNotFoundError, ValueError):
        return [row for row in read_timing(store.get(layout.TIMING)) if row.epoch < epochs]
    return []
