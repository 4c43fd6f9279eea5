"""The commands `trainer status`, `logs` and `wait`, and the run that a release trains."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import yaml

from trainer import interrupts
from trainer.cluster import follow as following
from trainer.cluster.api import CHARTS, NAMESPACE_REMEDY, RUN_FILE, Cluster, JobGone
from trainer.cluster.asking import ask_pods
from trainer.cluster.pod_metrics import PodMetrics
from trainer.cluster.pod_state import PULL_FAILED, PULL_PAUSED, Pod
from trainer.cluster.release import Release, ReleaseState
from trainer.cluster.release_status import EndedRelease, ReleaseStatus, release_status
from trainer.cluster.rollback import VALUES
from trainer.cluster.status_text import describe
from trainer.errors import EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_INVALID, ConfigError
from trainer.gang.endpoint import rank_log
from trainer.output.units import plural, span
from trainer.runs.run_document import read_finished
from trainer.storage import open_store

WATCH_SECONDS = 2.0


def status(
    release: str | None = None,
    namespace: str | None = None,
    *,
    watch: bool = False,
    as_json: bool = False,
) -> None:
    """Print the status of a release, or of every release of the namespace; with `watch` until it has
    ended."""
    cluster = Cluster(namespace)
    views = {name: _View(cluster, name) for name in ([release] if release else _releases(cluster))}
    if as_json:
        documents = [view.values() for view in views.values()]
        print(json.dumps(documents[0] if release else documents, indent=1, default=str))
        return
    if not watch:
        print("\n\n".join("\n".join(view.lines()) for view in views.values()))
        return
    with _screen() as show:
        while True:
            show("\n\n".join("\n".join(view.lines()) for view in views.values()))
            if all(view.over for view in views.values()):
                return
            time.sleep(WATCH_SECONDS)


def logs(release: str, namespace: str | None = None, *, follow: bool = False, rank: int = 0) -> None:
    """Print the chief's log, with `follow` until the end; or the last output of another rank."""
    cluster = Cluster(namespace)
    if rank:
        print(_rank_log(cluster, release, rank), end="")
        return
    for line in following.lines(cluster, release, follow=follow, notify=_notify):
        print(line, flush=True)


def wait(
    release: str, namespace: str | None = None, *, timeout: float | None = None, as_json: bool = False
) -> int:
    """Wait until the release has ended -> the exit code.

    0: finished; 64 or 1: failed; 75: it has not ended within `timeout` seconds.
    """
    cluster = Cluster(namespace)
    deadline = time.monotonic() + timeout if timeout is not None else None
    printed: tuple[str, ...] = ()
    while True:
        try:
            state = following.read(cluster, release)
        except JobGone as gone:
            if gone.failed:
                raise
            return _wait_for_run(release, _url_in(gone.config_map), gone, as_json)
        if state.state in (ReleaseState.FINISHED, ReleaseState.FAILED):
            seconds = ((state.ended or datetime.now(UTC)) - state.created).total_seconds()
            text = f"{release} {state.state} after {span(seconds)}"
            _print_end(release, state.state, state.exit_code, state.reason, text, as_json)
            return state.exit_code
        if state.hopeless:
            text = f"{release} can never start"
            _print_end(release, state.state, EXIT_INVALID, state.hopeless, text, as_json)
            return EXIT_INVALID
        # The two reasons alternate for as long as an image cannot be pulled.
        waits = tuple(line.replace(PULL_PAUSED, PULL_FAILED) for line in state.waits)
        if waits and waits != printed:
            printed = waits
            _notify(f"waiting for {'; '.join(waits)}")
        if deadline is not None and time.monotonic() > deadline:
            _notify(f"{release} is still {state.state}; see `trainer status {release}`")
            return EXIT_INTERRUPTED
        time.sleep(WATCH_SECONDS)


def _wait_for_run(release: str, url: str, gone: JobGone, as_json: bool) -> int:
    """The exit code of a release whose Job was deleted: 0 if its run is finished. Raises `gone` otherwise."""
    finished = read_finished(open_store(url)) if url else None
    if finished is None:
        raise gone
    work = f"{plural(finished.epochs, 'epoch')}, {plural(finished.steps, 'step')}"
    text = f"{release} finished: {work}, at {url}"
    _print_end(release, ReleaseState.FINISHED, EXIT_FINISHED, "", text, as_json)
    return EXIT_FINISHED


def _print_end(release: str, state: str, code: int, reason: str, text: str, as_json: bool) -> None:
    if as_json:
        values: EndedRelease = {
            "release": release,
            "state": str(state),
            "exit_code": code,
            "reason": reason,
        }
        print(json.dumps(values, indent=1))
    else:
        print(f"{text}: {reason}" if reason else text)


def run_url(release: str, namespace: str | None = None) -> str:
    """URL of the run that a release of cars-train trains, also if its Job was deleted."""
    cluster = Cluster(namespace)
    try:
        job = cluster.job(release)
        url = _run_url(cluster, job)
        if not url and job["metadata"]["labels"]["app.kubernetes.io/name"] == "cars-train":
            raise ConfigError(
                f"the ConfigMap of release {release!r}, which has its run's URL, is missing or unreadable",
                "Specify the run's URL, s3://bucket/runs/NAME; check with: kubectl auth can-i get configmaps",
            )
    except JobGone as gone:
        url = _url_in(gone.config_map)
    if not url:
        raise ConfigError(
            f"{release} is not a release of cars-train", "Specify the run's URL, s3://bucket/runs/NAME"
        )
    return url


class _View:
    """The status of one release, read again on each call."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster, self._name = cluster, name
        self._run_url: str | None = None
        self._earlier: PodMetrics | None = None
        self.over = False

    def lines(self) -> list[str]:
        release, progress, problem = self._read()
        lines = describe(
            release,
            now=datetime.now(UTC),
            run_url=self._run_url or "",
            progress=progress,
            earlier=self._earlier,
            problem=problem,
        )
        # A rate between two readings in a row would fluctuate.
        if progress and (self._earlier is None or progress.at - self._earlier.at > 15 * WATCH_SECONDS):
            self._earlier = progress
        return lines

    def values(self) -> ReleaseStatus:
        release, progress, _ = self._read()
        return release_status(release, self._run_url or "", progress)

    def _read(self) -> tuple[Release, PodMetrics | None, str]:
        release = following.read(self._cluster, self._name)
        self.over = release.state in (ReleaseState.FINISHED, ReleaseState.FAILED)
        if self._run_url is None:
            self._run_url = _run_url(self._cluster, self._cluster.job(self._name))
        if release.state is not ReleaseState.RUNNING or release.chart != "cars-train":
            return release, None, ""
        found = ask_pods(self._cluster, [pod for pod in release.pods if _can_be_asked(pod)])
        return replace(release, waits=(*release.waits, *found.waits)), found.progress, found.problem


def _can_be_asked(pod: Pod) -> bool:
    """Whether a pod's endpoint can be reached."""
    return pod.phase == "Running" and pod.exit_code is None and bool(pod.port) and not pod.on_lost_node


def _releases(cluster: Cluster) -> list[str]:
    names = {str(job["metadata"]["labels"]["app.kubernetes.io/instance"]) for job in cluster.jobs()}
    if not names:
        raise ConfigError(
            f"no release of {CHARTS} found in namespace {cluster.namespace!r} of {cluster.context}",
            f"S{NAMESPACE_REMEDY[1:]}",
        )
    return sorted(names)


def _run_url(cluster: Cluster, job: Mapping[str, Any]) -> str:
    """The run's URL from the values that the chart noted at the Job, or from the ConfigMap that it mounts; ""
    without both, or without permission to read the latter."""
    noted = json.loads(job["metadata"].get("annotations", {}).get(VALUES, "{}")).get("run")
    if isinstance(noted, dict) and (url := noted.get("run", {}).get("url")):
        return str(url)
    volumes = job["spec"]["template"]["spec"].get("volumes", [])
    name = next((v["configMap"]["name"] for v in volumes if v["name"] == "config"), "")
    try:
        return _url_in(cluster.config_map(name)) if name else ""
    except ConfigError:
        return ""


def _url_in(config_map: Mapping[str, str]) -> str:
    run = yaml.safe_load(config_map.get(RUN_FILE, "{}"))
    return str(run.get("run", {}).get("url", ""))


def _rank_log(cluster: Cluster, release: str, rank: int) -> str:
    """The last output of a rank other than the chief, from its supervisor."""
    running = [pod for pod in following.read(cluster, release).pods if _can_be_asked(pod)]
    for pod in running:
        assert pod.port
        code, text = cluster.fetch(pod.name, pod.port, rank_log(rank))
        if code == 200:
            return text
    raise ConfigError(
        f"no running pod of {release} has a rank {rank}",
        "The last output of a failed rank is in the log of its pod: see `kubectl logs`",
    )


def _notify(text: str) -> None:
    print(f"trainer: {text}", file=sys.stderr, flush=True)


@contextmanager
def _screen() -> Iterator[Callable[[str], None]]:
    """Shows a text in place of the previous one; without a terminal, prints each text that differs."""
    if not sys.stdout.isatty():
        printed = ""

        def show(text: str) -> None:
            nonlocal printed
            if text != printed:
                print(f"{text}\n", flush=True)
            printed = text

        yield show
        return
    from rich.live import Live
    from rich.text import Text

    # Live hides the cursor, so a signal has to unwind it.
    with interrupts.unwinding(), Live(auto_refresh=False, vertical_overflow="visible") as live:
        yield lambda text: live.update(Text(text), refresh=True)
