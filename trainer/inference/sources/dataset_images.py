"""The images of a dataset's split, be it prepared or an index of HDF5 files of others."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import cast

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.open_dataset import open_dataset
from trainer.dataset.reading.reader import Reader
from trainer.errors import ConfigError
from trainer.images.codec import Resize, decode_image
from trainer.images.decoding import Decoded
from trainer.inference.sources.image import Image, Task
from trainer.runs.run_document import RunDocument

BUDGET_BYTES = 128 << 20
_BATCH = 64


class DatasetImages:
    """A split; see `ImageSource`. Keys are such as test/000123."""

    def __init__(self, url: str, split: str, run: RunDocument) -> None:
        """Raises DataError where there is no such dataset or split, ConfigError for images of other
        channels."""
        self._dataset = open_dataset(url)
        self._split, self._name = self._dataset.split(split), split
        if self._dataset.image_shape[2] != run.prepared_shape[2]:
            raise ConfigError(
                f"{url} has images of {self._dataset.image_shape[2]} channels, the run was trained on images "
                f"of {run.prepared_shape[2]}",
                "Specify another dataset or another run",
            )
        self._resize = cast(Resize, run.resize)
        self._size = run.prepared_shape[:2] if run.prepared_shape != self._dataset.image_shape else None
        self.bound = {"split": split, "dataset": self._dataset.identity}
        self.ignored: dict[str, int] = {}

    @property
    def url(self) -> str:
        return self._dataset.url

    def __iter__(self) -> Iterator[Image]:
        return (Image(f"{self._name}/{row:06d}") for row in range(self._split.rows))

    def read(self, tasks: Iterable[Task]) -> Iterator[Decoded[Task]]:
        reader = Reader(self._dataset, self._split, budget_bytes=BUDGET_BYTES)
        for _, part in groupby(tasks, key=lambda task: task.part):
            part_tasks = list(part)
            first = self._row(part_tasks[0].key)
            rows = range(first, first + len(part_tasks))
            remaining = iter(part_tasks)
            for batch in reader.batches_of(rows, _BATCH):
                yield from (Decoded(next(remaining), self._resized(image)) for image in batch.images)

    def show(self, key: str) -> NDArray[np.uint8] | None:
        row = self._row(key)
        (batch,) = Reader(self._dataset, self._split, threads=1).batches_of(range(row, row + 1), 1)
        image: NDArray[np.uint8] = batch.images[0]
        return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image

    def name(self, key: str) -> str:
        (name,) = self._split.names(np.array([self._row(key)]))
        return name

    def label(self, key: str) -> str:
        """Its class in the dataset."""
        return self._dataset.classes[int(self._split.labels[self._row(key)])]

    def _row(self, key: str) -> int:
        return int(key.rpartition("/")[2])

    def _resized(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return image if self._size is None else decode_image(image, self._size, resize=self._resize)
