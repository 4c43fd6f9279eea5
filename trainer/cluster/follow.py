"""The chief's log, also when its pod is replaced or the connection breaks."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from trainer.cluster.api import Cluster, NotFound
from trainer.cluster.pod_state import STARTING, Pod
from trainer.cluster.release import Release, ReleaseState, read_release
from trainer.errors import ConfigError, TransientError

POLL_SECONDS = 1.0
UNREACHABLE_SECONDS = 60.0
CHIEF = 0
"""The index of the pod of rank 0."""


def lines(
    cluster: Cluster, release: str, *, follow: bool, notify: Callable[[str], None], index: int = CHIEF
) -> Iterator[str]:
    """The log of the pod with `index`: up to now, or with `follow` until the Job's end.

    Calls `notify` with messages about what it waits for. Raises ConfigError if there is no log, or the
    release is deleted, and TransientError if the cluster does not respond for a minute.
    """
    position, last_response = _LogPosition(), time.monotonic()
    while True:
        try:
            state = read(cluster, release)
        except TransientError as error:
            if not follow or time.monotonic() - last_response > UNREACHABLE_SECONDS:
                raise
            position.notify_once(f"{error.problem}; retrying", notify)
            time.sleep(POLL_SECONDS)
            continue
        last_response = time.monotonic()
        pod = _reachable(state, index)
        if pod is not None and pod.on_lost_node:
            if not follow:
                raise TransientError(
                    f"the log of {pod.name} cannot be read: its node {pod.node} does not respond",
                    "Follow it with -f, or see `trainer status`",
                )
            position.notify_once(f"waiting for pod {pod.index}: {pod.trouble}", notify)
            time.sleep(POLL_SECONDS)
            continue
        if pod is not None and pod.logs and not position.is_at_end_of(pod):
            yield from position.read(cluster, pod, follow=follow, notify=notify)
            if not follow:
                return
            continue
        over = state.state in (ReleaseState.FINISHED, ReleaseState.FAILED)
        if not follow and not over:
            reason = next(
                (line for line in state.waits if line.startswith(f"pod {index}:")), f"pod {index}: starting"
            )
            raise ConfigError(f"{release} has no log yet: waiting for {reason}", "Follow it with -f")
        if over:
            if not position.started:
                raise ConfigError(f"{release} {state.state}, and its pod {index} was deleted with its log")
            return
        if state.waits:
            position.notify_once(f"waiting for {'; '.join(state.waits)}", notify)
        time.sleep(POLL_SECONDS)


def read(cluster: Cluster, release: str) -> Release:
    """The current state of a release. Raises ConfigError if it does not exist."""
    job = cluster.job(release)
    name = job["metadata"]["name"]
    pods = cluster.pods(name)
    state = read_release(job, pods)
    if state.waits and (len(state.pods) < state.wanted or any(p.trouble == STARTING for p in state.pods)):
        return read_release(job, pods, cluster.warnings())
    return state


def _reachable(state: Release, index: int) -> Pod | None:
    """The pod with `index`; if its node is lost, the first of the others, which then has rank 0."""
    pods = [pod for pod in state.pods if pod.index >= index]
    own = next((pod for pod in pods if pod.index == index), None)
    if own is None or not own.on_lost_node:
        return own
    return next((pod for pod in pods if not pod.on_lost_node and pod.phase == "Running"), own)


def _is_later(time_a: str, time_b: str) -> bool:
    """Whether `time_a` is after `time_b`: RFC 3339 in UTC, with any number of fractional digits."""
    (second_a, _, fraction_a), (second_b, _, fraction_b) = (
        text.rstrip("Z").partition(".") for text in (time_a, time_b)
    )
    return (second_a, fraction_a.ljust(9, "0")) > (second_b, fraction_b.ljust(9, "0"))


class _LogPosition:
    """The pod whose log is read, and the time of the last line."""

    def __init__(self) -> None:
        self._uid = ""
        self._name = ""
        self._time = ""
        self._at_end = False
        self._notified = ""

    @property
    def started(self) -> bool:
        return bool(self._uid)

    def is_at_end_of(self, pod: Pod) -> bool:
        return self._uid == pod.uid and self._at_end

    def read(
        self, cluster: Cluster, pod: Pod, *, follow: bool, notify: Callable[[str], None]
    ) -> Iterator[str]:
        """The new lines of this pod's log, until its end or the end of the connection."""
        if pod.uid != self._uid:
            if self._uid:
                node = f" on {pod.node}" if pod.node else ""
                notify(f"{self._name} was replaced by {pod.name}{node}")
            self._uid, self._name, self._time, self._notified = pod.uid, pod.name, "", ""
        since, last = None, self._time
        if last:
            # After a broken connection, read again from shortly before, and drop what was already printed.
            since = int((datetime.now(UTC) - datetime.fromisoformat(last)).total_seconds()) + 2
        try:
            for written, line in cluster.log(pod.name, follow=follow, since_seconds=since):
                if not last or _is_later(written, last):
                    self._time = written
                    yield line
        except NotFound:
            self._at_end = True
            return
        except TransientError:
            if not follow:
                raise
            return
        # The log of a running container has no end.
        self._at_end = pod.ended
        if follow and not pod.ended:
            time.sleep(POLL_SECONDS / 4)

    def notify_once(self, text: str, notify: Callable[[str], None]) -> None:
        if text != self._notified:
            self._notified = text
            notify(text)
