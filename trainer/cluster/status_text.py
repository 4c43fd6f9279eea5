"""The text of `trainer status`: pure."""

from datetime import datetime

from trainer.cluster.pod_metrics import PodMetrics
from trainer.cluster.release import Release, ReleaseState
from trainer.output.table import columns
from trainer.output.units import span
from trainer.runs import layout


def describe(
    release: Release,
    *,
    now: datetime,
    run_url: str = "",
    progress: PodMetrics | None = None,
    before: PodMetrics | None = None,
    silence: str = "",
) -> list[str]:
    """The lines of `trainer status`.

    Args:
        progress: the chief's, None where it does not answer.
        silence: why it does not answer or train, "" where it does both.
        before: an earlier one, for the pace between the two.
    """
    lines = [_title(release, now)]
    if run_url:
        lines.append(f"  run         {run_url}")
    if release.reason:
        lines.append(f"  failed      {release.reason}")
    if progress and progress.step is not None:
        lines += _progress(progress, before, now)
    if silence and release.state is ReleaseState.RUNNING:
        lines.append(f"  now         {silence}")
    if release.state is ReleaseState.FINISHED and run_url and release.chart == "cars-train":
        lines.append(f"  weights     {run_url.rstrip('/')}/{layout.weights('best')}")
    if release.state is ReleaseState.SUSPENDED:
        lines.append(f"  waiting for the Job {release.job} to be resumed, by hand or by a queue")
    for number, line in enumerate(release.waits):
        lines.append(f"  {'waiting for' if number == 0 else '':11} {line}")
    if release.pods:
        lines += ["", *_table(release, now)]
    return lines


def _title(release: Release, now: datetime) -> str:
    lasted = span(((release.ended or now) - release.created).total_seconds())
    state = {
        ReleaseState.RUNNING: f"running for {lasted}, {release.ready} of {release.wanted} pods ready",
        ReleaseState.FINISHED: f"finished after {lasted}",
        ReleaseState.FAILED: f"failed after {lasted}",
        ReleaseState.SUSPENDED: f"suspended, {release.wanted} pods wanted",
    }[release.state]
    return f"{release.name} ({release.chart} in {release.namespace}): {state}"


def _progress(progress: PodMetrics, before: PodMetrics | None, now: datetime) -> list[str]:
    parts = []
    if progress.epoch is not None:
        parts.append(f"epoch {progress.epoch + 1}")
    if progress.total_steps:
        share = 100 * (progress.step or 0) / progress.total_steps
        parts.append(f"step {progress.step} of {progress.total_steps} ({share:.0f} %)")
    else:
        parts.append(f"step {progress.step}")
    rate, left = progress.rate(before), progress.seconds_left(before)
    if rate is not None:
        parts.append(f"{rate:.0f} images/s")
    if left:
        parts.append(f"about {span(left)} left")
    lines = [f"  progress    {', '.join(parts)}"]
    metrics = [
        f"{name} {value:.4g}"
        for name, value in (
            ("loss", progress.loss),
            ("accuracy", progress.accuracy),
            ("validation loss", progress.validation_loss),
            ("validation accuracy", progress.validation_accuracy),
        )
        if value is not None
    ]
    if metrics:
        lines.append(f"  metrics     {', '.join(metrics)}")
    if progress.checkpoint_step is not None:
        age = f", {span(now.timestamp() - progress.checkpoint_time)} ago" if progress.checkpoint_time else ""
        lines.append(f"  checkpoint  step {progress.checkpoint_step}{age}")
    if progress.world_size is not None:
        number = f", generation {progress.generation}" if progress.generation is not None else ""
        ranks = "1 rank" if progress.world_size == 1 else f"{progress.world_size} ranks"
        lines.append(f"  gang        {ranks}{number}")
    return lines


def _table(release: Release, now: datetime) -> list[str]:
    rows = [("POD", "NAME", "STATE", "READY", "NODE", "AGE")]
    for pod in release.pods:
        state = pod.phase if pod.exit_code is None else f"{pod.phase} ({pod.exit_code})"
        age = span((now - pod.created).total_seconds())
        rows.append((str(pod.index), pod.name, state, "yes" if pod.ready else "no", pod.node or "-", age))
    return [f"  {line}" for line in columns(rows)]
