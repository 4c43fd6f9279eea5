"""A few images by name, and their classes at once: no job, no folder of predictions."""

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.config.load import apply_overrides, read_yaml
from trainer.errors import ConfigError, DataError
from trainer.inference.config import parse_few
from trainer.inference.forms import Prediction, PredictionRow, ReadError
from trainer.inference.network import Network, network_of
from trainer.inference.sources.image import Image, Task
from trainer.inference.sources.paths import Paths
from trainer.inference.sources.prefix import Prefix
from trainer.observability.tensorflow_import import quiet_tensorflow_import, require_tensorflow
from trainer.runs.run_document import RunDocument
from trainer.storage import open_store

MAX_IMAGES = 1000
"""Images of one call; more are a job."""
_BATCH = 64


class _Given(Paths):
    """Images by name, some of which are here as files' bytes."""

    given: Mapping[str, bytes] = {}

    def load(self, task: Task) -> bytes:
        return self.given[task.key] if task.key in self.given else super().load(task)


def main(
    names: Sequence[str],
    path: Path | None,
    arguments: Mapping[str, Any],
    overrides: Sequence[str],
    given: Mapping[str, bytes] | None = None,
) -> list[PredictionRow | ReadError]:
    """Returns for each image its row as in JSON Lines, or `image` and `error`. A folder
    stands for its images. `given` has the bytes of files that are not read, by their names.

    Raises ConfigError, DataError for an invalid run, a folder without images, or more than `MAX_IMAGES`.
    """
    values = apply_overrides((dict(read_yaml(path)) if path else {}) | dict(arguments), overrides)
    config = parse_few(values, str(path) if path else "the command", overrides, arguments)
    require_tensorflow()
    network = network_of(config)
    run = network.run
    files = list(islice(_files(names, run), MAX_IMAGES + 1))
    if len(files) > MAX_IMAGES:
        raise ConfigError(f"expected at most {MAX_IMAGES:,} images", "Use --input and --output for more")
    source = _Given("the command", [], open_store(os.getcwd()), run, allow_private=config.allow_private)
    source.given = given or {}
    results = list(source.read(Task(0, Image(name)) for name in files))
    images = [decoded.image for decoded in results if decoded.image is not None]
    classified = _classified(network, images) if images else iter(())
    return [
        {"image": decoded.item.key, "error": decoded.problem.removeprefix(f"{decoded.item.key}: ")}
        if decoded.image is None
        else {**next(classified), "image": decoded.item.key}
        for decoded in results
    ]


def _files(names: Sequence[str], run: RunDocument) -> Iterator[str]:
    for name in names:
        if os.path.isdir(name):
            keys = [image.key for image in Prefix(open_store(name), run)]
            if not keys:
                raise DataError(f"{name}: no image found", "Name images, or a folder that holds some")
            yield from (os.path.join(name, key) for key in keys)
        else:
            yield name


def _classified(network: Network, images: Sequence[NDArray[np.uint8]]) -> Iterator[PredictionRow]:
    with quiet_tensorflow_import():
        from trainer.inference.predictor import Predictor

    predictor = Predictor(network, min(len(images), _BATCH))
    for start in range(0, len(images), _BATCH):
        for row in predictor.probabilities(np.stack(images[start : start + _BATCH])):
            yield Prediction.of("", row, network.run.classes).row()
