"""The metrics of a run, as one rank publishes them to Prometheus: base units, labelled by rank.

A supervisor sets PROMETHEUS_MULTIPROC_DIR: the ranks write there, and the supervisor serves the metrics of
    all ranks on one endpoint. A process without a supervisor serves its own (`serving`).
"""

from collections.abc import Mapping
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram

from trainer.observability import metric_names as names


def _gauge(name: str, text: str) -> Gauge:
    return Gauge(name, text, ["rank"], multiprocess_mode="mostrecent")


EPOCH = _gauge(names.EPOCH, "Current epoch, counted from 0.")
STEP = _gauge(names.STEP, "Finished steps since the start of the run.")
TOTAL_STEPS = _gauge(names.TOTAL_STEPS, "Total steps of the run.")
WORLD_SIZE = _gauge(names.WORLD_SIZE, "Ranks of the current generation.")
GENERATION = _gauge(names.GENERATION, "Number of the current generation's token.")
LOSS = _gauge(names.LOSS, "Mean training loss of the current epoch.")
ACCURACY = _gauge(names.ACCURACY, "Mean training accuracy of the current epoch, 0 to 1.")
VALIDATION_LOSS = _gauge(names.VALIDATION_LOSS, "Validation loss after the last epoch.")
VALIDATION_ACCURACY = _gauge(names.VALIDATION_ACCURACY, "Validation accuracy after the last epoch, 0 to 1.")
LEARNING_RATE = _gauge(names.LEARNING_RATE, "The optimizer's learning rate after the last epoch.")
IMAGES = Counter(names.IMAGES, "Training images processed by this rank.", ["rank"])
DATA_WAIT_SECONDS = Counter(names.DATA_WAIT_SECONDS, "Seconds that a rank waited for data.", ["rank"])
STEP_SECONDS = Histogram(
    names.STEP_SECONDS,
    "Seconds of a step, including the exchange and excluding the wait for data.",
    ["rank"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
CHECKPOINT_STEP = _gauge(names.CHECKPOINT_STEP, "Step of the newest committed checkpoint.")
CHECKPOINT_TIME = _gauge(
    names.CHECKPOINT_TIME, "Time of the newest committed checkpoint, in seconds since the epoch."
)
CHECKPOINT_STALLED_SECONDS = _gauge(
    names.CHECKPOINT_STALLED_SECONDS, "Seconds that training waited for checkpoints."
)
STORE_RETRIES = Counter(names.STORE_RETRIES, "Retried requests to the object store.", ["rank", "cause"])

AUDITS = Counter(names.AUDITS, "Audits, by result: passed or failed.", ["rank", "result"])
AUDIT_SECONDS = Counter(names.AUDIT_SECONDS, "Seconds spent on audits.", ["rank"])

CACHE_HITS = Counter(names.CACHE_HITS, "Reads of blocks that were in the disk cache.", ["rank"])
CACHE_MISSES = Counter(
    names.CACHE_MISSES, "Blocks that were not in the disk cache and were fetched from the store.", ["rank"]
)
CACHE_BYTES = Counter(names.CACHE_BYTES, "Bytes read from the disk cache.", ["rank"])


class RunMetrics:
    """Publishes the metrics of one rank."""

    def __init__(self, rank: int) -> None:
        self._rank = str(rank)
        self._cache = (0, 0, 0)

    def move(self, rank: int) -> None:
        """Publishes as `rank` from now on, which this process is in a new generation."""
        self._rank = str(rank)

    def begin_run(self, *, generation: int, world_size: int, total_steps: int) -> None:
        """Sets the values that hold for this generation; from the chief."""
        GENERATION.labels(self._rank).set(generation)
        WORLD_SIZE.labels(self._rank).set(world_size)
        TOTAL_STEPS.labels(self._rank).set(total_steps)

    def begin_epoch(self, epoch: int) -> None:
        """Sets the epoch, counted from 0."""
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
        """Updates the metrics after a step.

        Args:
            steps: finished steps of the run.
            images: this rank's images in the step.
            waited: seconds that it waited for them.
            worked: seconds of the step itself.
            loss: mean of the epoch so far, over all ranks; None if it is not known.
            accuracy: like the loss.
        """
        STEP.labels(self._rank).set(steps)
        IMAGES.labels(self._rank).inc(images)
        DATA_WAIT_SECONDS.labels(self._rank).inc(waited)
        STEP_SECONDS.labels(self._rank).observe(worked)
        for gauge, value in ((LOSS, loss), (ACCURACY, accuracy)):
            if value is not None:
                gauge.labels(self._rank).set(value)

    def end_epoch(self, logs: Mapping[str, float]) -> None:
        """Sets the metrics of an epoch from its Keras logs; from the chief."""
        for key, gauge in (
            ("val_loss", VALIDATION_LOSS),
            ("val_accuracy", VALIDATION_ACCURACY),
            ("learning_rate", LEARNING_RATE),
        ):
            if key in logs:
                gauge.labels(self._rank).set(logs[key])

    def checkpoint(self, step: int, committed_at: float) -> None:
        """Sets the newest committed checkpoint; `committed_at` in seconds since the epoch."""
        CHECKPOINT_STEP.labels(self._rank).set(step)
        CHECKPOINT_TIME.labels(self._rank).set(committed_at)

    def checkpoint_stalled(self, seconds: float) -> None:
        """Sets the total seconds that training waited for checkpoints."""
        CHECKPOINT_STALLED_SECONDS.labels(self._rank).set(seconds)

    def audit(self, result: Literal["passed", "failed"], seconds: float) -> None:
        """Counts a finished audit."""
        AUDITS.labels(self._rank, result).inc()
        AUDIT_SECONDS.labels(self._rank).inc(seconds)

    def cache(self, *, hits: int, misses: int, bytes_read: int) -> None:
        """Sets the totals of the disk cache of this process."""
        totals = (hits, misses, bytes_read)
        for counter, total, last in zip(
            (CACHE_HITS, CACHE_MISSES, CACHE_BYTES), totals, self._cache, strict=True
        ):
            counter.labels(self._rank).inc(total - last)
        self._cache = totals

    def store_retry(self, cause: str) -> None:
        """Counts a retried request."""
        STORE_RETRIES.labels(self._rank, cause).inc()
