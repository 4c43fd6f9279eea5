"""The metrics of a run, as one rank publishes them to Prometheus: base units, labelled by rank.

Under a supervisor PROMETHEUS_MULTIPROC_DIR is set: the ranks write there, and the supervisor serves them all
on one endpoint. A process of its own serves itself (`serving`).
"""

from collections.abc import Mapping
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram

from trainer.observability import metric_names as names


def _gauge(name: str, text: str) -> Gauge:
    return Gauge(name, text, ["rank"], multiprocess_mode="mostrecent")


EPOCH = _gauge(names.EPOCH, "Epoch in training, counted from 0.")
STEP = _gauge(names.STEP, "Finished steps since the start of the run.")
TOTAL_STEPS = _gauge(names.TOTAL_STEPS, "Steps of the whole run.")
WORLD_SIZE = _gauge(names.WORLD_SIZE, "Ranks of the present generation.")
GENERATION = _gauge(names.GENERATION, "Number of the present generation's token.")
LOSS = _gauge(names.LOSS, "Mean training loss of the present epoch.")
ACCURACY = _gauge(names.ACCURACY, "Mean training accuracy of the present epoch, 0 to 1.")
VALIDATION_LOSS = _gauge(names.VALIDATION_LOSS, "Validation loss after the last epoch.")
VALIDATION_ACCURACY = _gauge(names.VALIDATION_ACCURACY, "Validation accuracy after the last epoch, 0 to 1.")
LEARNING_RATE = _gauge(names.LEARNING_RATE, "The optimizer's learning rate after the last epoch.")
IMAGES = Counter(names.IMAGES, "Training images processed by this rank.", ["rank"])
DATA_WAIT_SECONDS = Counter(names.DATA_WAIT_SECONDS, "Seconds that a rank waited for data.", ["rank"])
STEP_SECONDS = Histogram(
    names.STEP_SECONDS,
    "Seconds of a step, with the exchange and without the wait for data.",
    ["rank"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
CHECKPOINT_STEP = _gauge(names.CHECKPOINT_STEP, "Step of the newest committed checkpoint.")
CHECKPOINT_TIME = _gauge(names.CHECKPOINT_TIME, "Time of its commit, in seconds since the epoch.")
CHECKPOINT_STALLED_SECONDS = _gauge(
    names.CHECKPOINT_STALLED_SECONDS, "Seconds that training waited for checkpoints."
)
STORE_RETRIES = Counter(
    names.STORE_RETRIES, "Requests to the object store that were retried.", ["rank", "cause"]
)

AUDITS = Counter(names.AUDITS, "Audits, by result: passed or failed.", ["rank", "result"])
AUDIT_SECONDS = Counter(names.AUDIT_SECONDS, "Seconds that audits took.", ["rank"])

CACHE_HITS = Counter(names.CACHE_HITS, "Ranges of blocks that were in the disk cache.", ["rank"])
CACHE_MISSES = Counter(
    names.CACHE_MISSES, "Blocks that were not in the disk cache, and were fetched.", ["rank"]
)
CACHE_BYTES = Counter(names.CACHE_BYTES, "Bytes read from the disk cache.", ["rank"])


class RunMetrics:
    """Publishes the metrics of one rank."""

    def __init__(self, rank: int) -> None:
        self._rank = str(rank)
        self._cache = (0, 0, 0)

    def begin_run(self, *, generation: int, world_size: int, total_steps: int) -> None:
        """What holds for this generation; from the chief."""
        GENERATION.labels(self._rank).set(generation)
        WORLD_SIZE.labels(self._rank).set(world_size)
        TOTAL_STEPS.labels(self._rank).set(total_steps)

    def begin_epoch(self, epoch: int) -> None:
        """`epoch` counts from 0."""
        EPOCH.labels(self._rank).set(epoch)

    def end_step(
        self,
        steps: int,
        *,
        images: int,
        waited: float,
        worked: float,
        loss: float | None,
        accuracy: float | None,
    ) -> None:
        """After each step.

        Args:
            steps: finished steps of the run.
            images: this rank's images in the step.
            waited: seconds that it waited for them.
            worked: seconds of the step itself.
            loss: mean of the epoch so far, over all ranks; None while it is not known.
            accuracy: likewise.
        """
        STEP.labels(self._rank).set(steps)
        IMAGES.labels(self._rank).inc(images)
        DATA_WAIT_SECONDS.labels(self._rank).inc(waited)
        STEP_SECONDS.labels(self._rank).observe(worked)
        for gauge, value in ((LOSS, loss), (ACCURACY, accuracy)):
            if value is not None:
                gauge.labels(self._rank).set(value)

    def end_epoch(self, logs: Mapping[str, float]) -> None:
        """An epoch's Keras logs; from the chief."""
        for key, gauge in (
            ("val_loss", VALIDATION_LOSS),
            ("val_accuracy", VALIDATION_ACCURACY),
            ("learning_rate", LEARNING_RATE),
        ):
            if key in logs:
                gauge.labels(self._rank).set(logs[key])

    def checkpoint(self, step: int, committed_at: float) -> None:
        """The newest committed checkpoint; `committed_at` in seconds since the epoch."""
        CHECKPOINT_STEP.labels(self._rank).set(step)
        CHECKPOINT_TIME.labels(self._rank).set(committed_at)

    def checkpoint_stalled(self, seconds: float) -> None:
        """Seconds, in all, that training waited for checkpoints."""
        CHECKPOINT_STALLED_SECONDS.labels(self._rank).set(seconds)

    def audit(self, result: Literal["passed", "failed"], seconds: float) -> None:
        """An audit is over."""
        AUDITS.labels(self._rank, result).inc()
        AUDIT_SECONDS.labels(self._rank).inc(seconds)

    def cache(self, *, hits: int, misses: int, bytes_read: int) -> None:
        """What the disk cache did so far, in this process."""
        now = (hits, misses, bytes_read)
        for counter, value, before in zip(
            (CACHE_HITS, CACHE_MISSES, CACHE_BYTES), now, self._cache, strict=True
        ):
            counter.labels(self._rank).inc(value - before)
        self._cache = now

    def store_retry(self, cause: str) -> None:
        """One retried request."""
        STORE_RETRIES.labels(self._rank, cause).inc()
