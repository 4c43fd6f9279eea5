"""The progress of a run, from a pod's Prometheus metrics: pure."""

from collections import defaultdict
from dataclasses import dataclass

from trainer.observability import metric_names as names


@dataclass(frozen=True)
class PodMetrics:
    """One pod's metrics at `at` (seconds since the epoch); None for a value that is not known yet.

    Attributes:
        step: the last finished step.
        ranks: ranks of this pod.
        images: images that these have trained in total since they started.
        busy: seconds that a rank of this pod has worked or waited for data, on average.
        steps: steps that a rank has trained since it started.
    """

    at: float
    epoch: int | None
    step: int | None
    total_steps: int | None
    world_size: int | None
    generation: int | None
    loss: float | None
    accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    checkpoint_step: int | None
    checkpoint_time: float | None
    ranks: int
    images: float
    busy: float
    steps: float

    def rate(self, earlier: "PodMetrics | None" = None) -> float | None:
        """Images per second over all ranks of the gang: since `earlier`, or since the ranks started."""
        if earlier and earlier.images <= self.images and earlier.at < self.at:
            images, seconds = self.images - earlier.images, self.at - earlier.at
        else:
            images, seconds = self.images, self.busy
        if not images or not seconds:
            return None
        return images / seconds * max(1, (self.world_size or 0) / max(1, self.ranks))

    def seconds_left(self, earlier: "PodMetrics | None" = None) -> float | None:
        """The time to the end, at the rate since `earlier`, or since the ranks started."""
        if self.step is None or not self.total_steps:
            return None
        if earlier and earlier.step is not None and earlier.step < self.step and earlier.at < self.at:
            seconds_per_step = (self.at - earlier.at) / (self.step - earlier.step)
        elif self.steps:
            seconds_per_step = self.busy / self.steps
        else:
            return None
        return (self.total_steps - self.step) * seconds_per_step


def read_metrics(text: str, at: float) -> PodMetrics:
    """Prometheus's text format -> PodMetrics. Raises ValueError for any other text."""
    from prometheus_client.parser import text_string_to_metric_families

    values: dict[str, dict[str, float]] = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.endswith("_bucket"):
                values[sample.name][sample.labels.get("rank", "")] = sample.value

    def newest(name: str) -> float | None:
        return max(values[name].values()) if values[name] else None

    def whole(name: str) -> int | None:
        value = newest(name)
        return None if value is None else int(value)

    ranks = len(values[names.IMAGES]) or len(values[names.STEP])
    worked, waited = values[f"{names.STEP_SECONDS}_sum"], values[names.DATA_WAIT_SECONDS]
    busy = sum(worked.values()) + sum(waited.values())
    return PodMetrics(
        at=at,
        epoch=whole(names.EPOCH),
        step=whole(names.STEP),
        total_steps=whole(names.TOTAL_STEPS),
        world_size=whole(names.WORLD_SIZE),
        generation=whole(names.GENERATION),
        loss=newest(names.LOSS),
        accuracy=newest(names.ACCURACY),
        validation_loss=newest(names.VALIDATION_LOSS),
        validation_accuracy=newest(names.VALIDATION_ACCURACY),
        checkpoint_step=whole(names.CHECKPOINT_STEP),
        checkpoint_time=newest(names.CHECKPOINT_TIME),
        ranks=ranks,
        images=sum(values[names.IMAGES].values()),
        busy=busy / ranks if ranks else 0.0,
        steps=max(values[f"{names.STEP_SECONDS}_count"].values(), default=0.0),
    )
