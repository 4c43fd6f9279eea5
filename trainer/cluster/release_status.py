"""What `trainer status --json` and `trainer wait --json` print, as types."""

import dataclasses
from datetime import datetime
from typing import Any, NotRequired, TypedDict, cast

from trainer.cluster.pod_metrics import PodMetrics
from trainer.cluster.release import Pod, Release, ReleaseState


class RunProgress(TypedDict):
    """How far a training is, from the metrics of its pod 0; null for what is not known yet.

    Attributes:
        at: when they were read, in seconds since 1970.
        epoch: counted from 0, as Prometheus has it.
        step: the last finished one.
        total_steps: of the run.
        world_size: ranks of all pods.
        generation: the number of the token.
        loss: of the training, in this epoch so far.
        accuracy: of the training, in this epoch so far.
        validation_loss: after the last epoch.
        validation_accuracy: after the last epoch.
        checkpoint_step: of the newest checkpoint.
        checkpoint_time: when it was committed, in seconds since 1970.
        ranks: of this pod.
        images: that they have worked since they started.
        busy: seconds in which a rank of this pod worked or waited for data, on average.
        steps: that such a rank has worked since it started.
        images_per_second: over all ranks.
        seconds_left: at that pace.
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
    images_per_second: float | None
    seconds_left: float | None


class ReleaseStatus(TypedDict):
    """A release and its pods.

    Attributes:
        name: of the release.
        chart: cars-train or cars-predict.
        job: the name of its Job.
        namespace: of both.
        wanted: how many pods it is to have.
        state: suspended, running, finished or failed.
        reason: why it failed, as the Job and the pod say.
        created: when the Job was made.
        ended: when it ended; null while it runs.
        pods: the newest of each index, in the order of their indexes.
        waits: what is waited for, one sentence each.
        ready: pods that train.
        run: URL of the run's folder; empty for cars-predict.
        progress: of a training that runs and whose metrics can be read; else absent.
    """

    name: str
    chart: str
    job: str
    namespace: str
    wanted: int
    state: ReleaseState
    reason: str
    created: datetime
    ended: datetime | None
    pods: tuple[Pod, ...]
    waits: tuple[str, ...]
    ready: int
    run: str
    progress: NotRequired[RunProgress]


class EndedRelease(TypedDict):
    """How a release ended.

    Attributes:
        release: its name.
        state: finished or failed.
        exit_code: see docs/exit-codes.md.
        reason: why it failed, as the Job and the pod say.
    """

    release: str
    state: str
    exit_code: int
    reason: str


def release_status(release: Release, run_url: str, progress: PodMetrics | None) -> ReleaseStatus:
    """The values that are printed."""
    document: dict[str, Any] = dataclasses.asdict(release) | {"ready": release.ready, "run": run_url}
    if progress:
        document["progress"] = dataclasses.asdict(progress) | {
            "images_per_second": progress.rate(),
            "seconds_left": progress.seconds_left(),
        }
    return cast(ReleaseStatus, document)
