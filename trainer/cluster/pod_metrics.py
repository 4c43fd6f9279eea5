"""How far a run is, read from a pod's Prometheus metrics: pure."""

from collections import defaultdict
from dataclasses import dataclass

from trainer.observability import metric_names as names


@dataclass(frozen=True)
class PodMetrics:
    """One pod's metrics at `at` (seconds since the epoch); None where a value is not known yet.

    Attributes:
        step: the last finished one.
        ranks: ranks of this pod.
        images: that they have worked together since they started.
        busy: seconds in which a rank of this pod worked or waited for data, on average.
        steps: that such a rank has worked since it started.
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

    def rate(self, before: "PodMetrics | None" = None) -> float | None:
        """Images a second over all ranks of the gang: since `before`, or since the ranks started."""
        if before and before.images <= self.images and before.at < self.at:
            images, seconds = self.images - before.images, self.at - before.at
        else:
            images, seconds = self.images, self.busy
        if not images or not seconds:
            return None
        return images / seconds * max(1, (self.world_size or 0) / max(1, self.ranks))

    def seconds_left(self, before: "PodMetrics | None" = None) -> float | None:
        """At the pace since `before`, or since the ranks started."""
        if self.step is None or not self.total_steps:
            return None
        if before and before.step is not None and before.step < self.step and before.at < self.at:
            pace = (self.at - before.at) / (self.step - before.step)
        elif self.steps:
            pace = self.busy / self.steps
        else:
            return None
        return (self.total_steps - self.step) * pace


def read_metrics(text: str, at: float) -> PodMetrics:
    """Prometheus's text format -> PodMetrics. Raises ValueError for anything else."""
    from prometheus_client.parser import text_string_to_metric_families

    values: dict[str, dict[str, float]] = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.endswith("_bucket"):
                values[sample.name][sample.labels.get("rank", "")] = sample.value

    def newest(name: str) -> float | None:
        return max(values[name].values()) if values[name] else None

    def whole(name: str) -> int | None:
        found = newest(name)
        return None if found is None else int(found)

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
