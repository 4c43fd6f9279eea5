"""One worker: it takes parts, reads, decodes and classifies their images, and commits each part whole."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DataError
from trainer.images.decoding import Decoded
from trainer.inference import forms, keys
from trainer.inference.claims import Claims
from trainer.inference.config import PredictConfig
from trainer.inference.forms import Prediction
from trainer.inference.prediction_plan import PredictionPlan
from trainer.inference.predictor import Predictor
from trainer.inference.results.read_errors import check_bad, read_errors
from trainer.inference.sources.image import ImageSource, Task
from trainer.observability import prediction_metrics as metrics
from trainer.output.units import plural
from trainer.storage import Store

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""Between the first two checks for a part while others do the last ones; `CHECK_CLAIMS_SECONDS` later."""
CHECK_CLAIMS_SECONDS = 5.0
"""Seconds after which a worker checks whether another was faster with its part."""
_UNCOMMITTED = 2


@dataclass
class OpenPart:
    """A part in progress."""

    number: int
    remaining: int
    predictions: list[Prediction] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)


class Worker:
    """Does parts until all of the plan are done, by this worker or by others."""

    def __init__(
        self,
        source: ImageSource,
        target: Store,
        plan: PredictionPlan,
        claims: Claims,
        predictor: Callable[[], Predictor],
        config: PredictConfig,
        progress: Callable[[int], None],
    ) -> None:
        """
        Args:
            predictor: makes the network, for the first image.
            progress: called with the number of completed parts.
        """
        self._target, self._plan, self._claims, self._progress = target, plan, claims, progress
        self._make = predictor
        self._predictor: Predictor | None = None
        self._form, self._max_bad = config.format, config.max_bad_fraction
        self._source = source
        self._open: dict[int, OpenPart] = {}
        self._waiting: list[tuple[Task, NDArray[np.uint8]]] = []
        self._commits: deque[Future[None]] = deque()
        self._bad: dict[int, int] = {}
        self._checked_at = time.monotonic()

    def run(self) -> None:
        """Raises DataError as soon as too many images cannot be read."""
        self._check_bad(self._plan.bad)
        with ThreadPoolExecutor(1, "commit") as self._committing:
            pause = POLL_SECONDS
            while not self._all_done():
                if self._stream():
                    pause = POLL_SECONDS
                else:
                    time.sleep(pause)
                    pause = min(CHECK_CLAIMS_SECONDS, 1.5 * pause)

    def _all_done(self) -> bool:
        done = len(self._claims.done())
        self._progress(done)
        return done >= self._plan.parts

    def _stream(self) -> bool:
        """Does all parts that are available now; False where there is none."""
        began = False
        images = self._source.read(self._tasks())
        while (decoded := self._next(images)) is not None:
            began = True
            self._take(decoded)
            if time.monotonic() - self._checked_at > CHECK_CLAIMS_SECONDS:
                self._check_others()
        self._predict()
        began = began or bool(self._commits)
        while self._commits:
            self._commits.popleft().result()
        return began

    @staticmethod
    def _next(images: Iterator[Decoded[Task]]) -> Decoded[Task] | None:
        since = time.monotonic()
        decoded = next(images, None)
        metrics.SECONDS.labels("read").inc(time.monotonic() - since)
        return decoded

    def _tasks(self) -> Iterator[Task]:
        while (number := self._claims.take()) is not None:
            images = self._plan.part(self._target, number)
            part = self._open[number] = OpenPart(number, len(images))
            for image in images:
                if number not in self._open:  # another was faster
                    break
                if image.problem:
                    self._fail(part, image.key, image.problem)
                else:
                    yield Task(number, image)

    def _take(self, decoded: Decoded[Task]) -> None:
        task = decoded.item
        part = self._open.get(task.part)
        if part is None:
            return
        if decoded.image is None:
            self._fail(part, task.key, decoded.problem.removeprefix(f"{task.key}: "))
            return
        self._waiting.append((task, decoded.image))
        self._predictor = self._predictor or self._make()
        if len(self._waiting) == self._predictor.batch_size:
            self._predict()

    def _predict(self) -> None:
        tasks = [(task, image) for task, image in self._waiting if task.part in self._open]
        self._waiting = []
        if not tasks or self._predictor is None:
            return
        since = time.monotonic()
        probabilities = self._predictor.probabilities(np.stack([image for _, image in tasks]))
        metrics.SECONDS.labels("compute").inc(time.monotonic() - since)
        if not np.isfinite(probabilities).all():
            raise DataError(
                "the probabilities of the network are not finite",
                "Its weights are damaged, or the training diverged: predict with other weights",
            )
        for (task, _), row in zip(tasks, probabilities, strict=True):
            part = self._open[task.part]
            part.predictions.append(Prediction.of(task.key, row, self._predictor.classes))
            self._complete_image(part)

    def _fail(self, part: OpenPart, key: str, problem: str) -> None:
        part.errors.append({"image": key, "error": problem})
        self._complete_image(part)

    def _complete_image(self, part: OpenPart) -> None:
        part.remaining -= 1
        if part.remaining:
            return
        del self._open[part.number]
        while len(self._commits) >= _UNCOMMITTED:
            self._commits.popleft().result()
        self._commits.append(self._committing.submit(self._commit, part))
        self._bad[part.number] = len(part.errors)
        self._check_bad(sum(self._bad.values()))

    def _commit(self, part: OpenPart) -> None:
        if part.errors:
            self._target.put(keys.part_errors(part.number), forms.lines(part.errors))
        data = forms.dumps(part.predictions, self._form)
        try:
            self._target.put(keys.predictions(part.number, forms.suffix(self._form)), data, if_absent=True)
        except FileExistsError:
            return  # another worker's, of the same images with the same weights
        self._claims.finished(time.monotonic() - part.began)
        metrics.PARTS.inc()
        metrics.IMAGES.labels("predicted").inc(len(part.predictions))
        metrics.IMAGES.labels("failed").inc(len(part.errors))
        log.info(
            "part %d of %d: %s classified, %d failed",
            *(part.number + 1, self._plan.parts, plural(len(part.predictions), "image"), len(part.errors)),
        )

    def _check_others(self) -> None:
        """Drops the parts that other workers have completed, and counts their bad images."""
        self._checked_at = time.monotonic()
        done = self._claims.done()
        for number in [number for number in self._open if number in done]:
            del self._open[number]
        for info in self._target.list(keys.PART_ERRORS):
            part = keys.part_of(info.key)
            if part in done and part not in self._bad:
                self._bad[part] = len(read_errors(self._target, part))
        self._check_bad(sum(self._bad.values()))
        self._progress(len(done))

    def _check_bad(self, bad: int) -> None:
        check_bad(bad, self._plan.images, self._max_bad, self._target)
