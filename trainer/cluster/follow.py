"""The chief's log, over the replacements of its pod and of the connection."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from trainer.cluster.api import Cluster, NotThere
from trainer.cluster.release import Pod, Release, ReleaseState, read_release
from trainer.errors import ConfigError, TransientError

POLL_SECONDS = 1.0
UNREACHABLE_SECONDS = 60.0
CHIEF = 0
"""Rank 0 lives in the pod with the lowest index."""


def lines(
    cluster: Cluster, release: str, *, follow: bool, say: Callable[[str], None], index: int = CHIEF
) -> Iterator[str]:
    """The log of the pod of `index`: as it is, or with `follow` until the Job's end.

    `say` hears what is waited for meanwhile. Raises ConfigError where there is no log to show, or the
    release goes, and Interrupted where the cluster does not answer for a minute.
    """
    place, answered = _Place(), time.monotonic()
    while True:
        try:
            state = look(cluster, release)
        except TransientError as error:
            if not follow or time.monotonic() - answered > UNREACHABLE_SECONDS:
                raise
            place.wait((error.problem,), say)
            time.sleep(POLL_SECONDS)
            continue
        answered = time.monotonic()
        pod = next((pod for pod in state.pods if pod.index == index), None)
        if pod is not None and pod.logs and not place.has_all_of(pod):
            yield from place.read(cluster, pod, follow=follow, say=say)
            if not follow:
                return
            continue
        over = state.state in (ReleaseState.FINISHED, ReleaseState.FAILED)
        if not follow and not over:
            why = next(
                (line for line in state.waits if line.startswith(f"pod {index},")), "its pod is starting"
            )
            raise ConfigError(f"{release} has no log yet: it waits for {why}", "Follow it with -f")
        if over:
            if not place.seen:
                raise ConfigError(f"{release} has {state.state}, and its pod {index} is gone with its log")
            return
        place.wait(state.waits, say)
        time.sleep(POLL_SECONDS)


def look(cluster: Cluster, release: str) -> Release:
    """The release as it is now. Raises ConfigError where there is none."""
    job = cluster.job(release)
    name = job["metadata"]["name"]
    pods = cluster.pods(name)
    found = read_release(job, pods)
    if found.waits and len(found.pods) < found.wanted:
        return read_release(job, pods, cluster.warnings(name))
    return found


def _later(written: str, shown: str) -> bool:
    """RFC 3339 in UTC, with any number of digits after the second."""
    (one, _, more), (other, _, rest) = written.rstrip("Z").partition("."), shown.rstrip("Z").partition(".")
    return (one, more.ljust(9, "0")) > (other, rest.ljust(9, "0"))


class _Place:
    """Where we are in which pod's log."""

    def __init__(self) -> None:
        self._uid = ""
        self._name = ""
        self._time = ""
        self._whole = False
        self._said: tuple[str, ...] = ()

    @property
    def seen(self) -> bool:
        return bool(self._uid)

    def has_all_of(self, pod: Pod) -> bool:
        return self._uid == pod.uid and self._whole

    def read(self, cluster: Cluster, pod: Pod, *, follow: bool, say: Callable[[str], None]) -> Iterator[str]:
        """What is new of this pod's log, until its end or the connection's."""
        if pod.uid != self._uid:
            if self._uid:
                say(f"{self._name} is gone; here is {pod.name}" + (f" on {pod.node}" if pod.node else ""))
            self._uid, self._name, self._time, self._said = pod.uid, pod.name, "", ()
        since, shown = None, self._time
        if shown:
            # A connection that was cut in mid-log: again from a little before, without what was shown.
            since = int((datetime.now(UTC) - datetime.fromisoformat(shown)).total_seconds()) + 2
        try:
            for written, line in cluster.log(pod.name, follow=follow, since_seconds=since):
                if not shown or _later(written, shown):
                    self._time = written
                    yield line
        except NotThere:
            self._whole = True
            return
        except TransientError:
            if not follow:
                raise
            return
        # Only an ended container's log has an end.
        self._whole = pod.ended
        if follow and not pod.ended:
            time.sleep(POLL_SECONDS / 4)

    def wait(self, what: tuple[str, ...], say: Callable[[str], None]) -> None:
        if what and what != self._said:
            self._said = what
            say(f"waiting: {'; '.join(what)}")
