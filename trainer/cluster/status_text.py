"""The text of `trainer status`: pure."""

from datetime import datetime

from trainer.cluster.pod_metrics import PodMetrics
from trainer.cluster.release import Release, ReleaseState
from trainer.output.table import columns
from trainer.output.units import plural, span
from trainer.runs import layout


def describe(
    release: Release,
    *,
    now: datetime,
    run_url: str = "",
    progress: PodMetrics | None = None,
    earlier: PodMetrics | None = None,
    problem: str = "",
) -> list[str]:
    """The lines of `trainer status`.

    Args:
        progress: the chief's metrics, None if it does not respond.
        earlier: earlier metrics, for the rate between the two.
        problem: why the chief does not respond or train, "" if it does.
    """
    lines = [_title(release, now)]
    if run_url:
        lines.append(f"  run         {run_url}")
    if release.reason:
        lines.append(f"  failed      {release.reason}")
    if progress and progress.step is not None:
        lines += _progress(progress, earlier, now, trains=not problem)
    if problem and release.state is ReleaseState.RUNNING:
        lines.append(f"  now         {problem}")
    if release.state is ReleaseState.FINISHED and run_url and release.chart == "cars-train":
        lines.append(f"  weights     {run_url.rstrip('/')}/{layout.weights('best')}")
    if release.state is ReleaseState.SUSPENDED:
        lines.append(f"  waiting for a user or a queue to resume Job {release.job}")
    for number, line in enumerate(release.waits):
        lines.append(f"  {'waiting for' if number == 0 else '':11} {line}")
    if release.pods:
        lines += ["", *_table(release, now)]
    return lines


def _title(release: Release, now: datetime) -> str:
    duration = span(((release.ended or now) - release.created).total_seconds())
    wanted = plural(release.wanted, "pod")
    state = {
        ReleaseState.RUNNING: f"running for {duration}, {release.ready} of {wanted} ready",
        ReleaseState.FINISHED: f"finished after {duration}",
        ReleaseState.FAILED: f"failed after {duration}",
        ReleaseState.SUSPENDED: f"suspended, {wanted} wanted",
    }[release.state]
    return f"{release.name} ({release.chart} in {release.namespace}): {state}"


def _progress(progress: PodMetrics, earlier: PodMetrics | None, now: datetime, *, trains: bool) -> list[str]:
    """Without a rate where the ranks wait: that of the past would be wrong."""
    parts = []
    if progress.epoch is not None:
        parts.append(f"epoch {progress.epoch + 1}")
    if progress.total_steps:
        percent = 100 * (progress.step or 0) / progress.total_steps
        parts.append(f"step {progress.step:,} of {progress.total_steps:,} ({percent:.0f} %)")
    else:
        parts.append(f"step {progress.step:,}")
    rate, left = progress.rate(earlier), progress.seconds_left(earlier)
    if rate is not None and trains:
        parts.append(f"{rate:,.0f} images/s")
    if left and trains:
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
        lines.append(f"  checkpoint  step {progress.checkpoint_step:,}{age}")
    if progress.world_size is not None:
        number = f", generation {progress.generation}" if progress.generation is not None else ""
        lines.append(f"  gang        {plural(progress.world_size, 'rank')}{number}")
    return lines


def _table(release: Release, now: datetime) -> list[str]:
    rows = [("POD", "NAME", "STATE", "READY", "NODE", "AGE")]
    for pod in release.pods:
        state = pod.phase if pod.exit_code is None else f"{pod.phase} ({pod.exit_code})"
        state += f", {plural(pod.restarts, 'restart')}" if pod.restarts else ""
        age = span((now - pod.created).total_seconds())
        rows.append((str(pod.index), pod.name, state, "yes" if pod.ready else "no", pod.node or "-", age))
    return [f"  {line}" for line in columns(rows)]
