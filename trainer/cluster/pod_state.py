"""One pod, as the API returns it, and why it does not run: pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trainer.errors import EXIT_INTERRUPTED, one_line

STARTING = "starting"
_INDEX = "batch.kubernetes.io/job-completion-index"
_QUIET = ("ContainerCreating", "PodInitializing")
PULL_FAILED, PULL_PAUSED = "ErrImagePull", "ImagePullBackOff"
"""These alternate for as long as an image cannot be pulled."""
_HOPELESS = "InvalidImageName"
"""No later attempt can succeed: the name of the image cannot change in a pod."""
_PULL_AGAIN = re.compile(r'^Back-off pulling image "[^"]*"(: ErrImagePull: )?')
_SIGNALS = 128


@dataclass(frozen=True)
class Pod:
    """One pod of a release.

    Attributes:
        name: of the pod.
        uid: of the pod.
        index: its number in the gang.
        phase: Pending, Running, Succeeded, Failed, or Terminating.
        node: where it runs; empty until it is scheduled.
        ready: whether it trains, according to its readiness probe.
        logs: whether its container has started.
        created: when it was created.
        exit_code: the exit code of its container, once it has ended.
        trouble: why it does not run, "" if it does.
        port: the port of its metrics, None if it has none.
        on_lost_node: whether its node does not respond: neither its log nor its metrics can be read.
        hopeless: whether it can never start.
        restarts: how often its container was started again in the pod.
    """

    name: str
    uid: str
    index: int
    phase: str
    node: str
    ready: bool
    logs: bool
    created: datetime
    exit_code: int | None
    trouble: str
    port: int | None
    on_lost_node: bool
    hopeless: bool
    restarts: int

    @property
    def ended(self) -> bool:
        return self.phase in ("Succeeded", "Failed")


def read_pod(pod: Mapping[str, Any]) -> Pod:
    """A pod as the API returns it -> the values that are used here."""
    metadata, status = pod["metadata"], pod.get("status", {})
    container = _container(status)
    state = container.get("state", {})
    terminated = state.get("terminated")
    leaving = "deletionTimestamp" in metadata
    phase = status.get("phase", "Unknown")
    if leaving and phase in ("Pending", "Running"):
        phase = "Terminating"
    lost = is_on_lost_node(pod)
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        index=int(metadata.get("annotations", {}).get(_INDEX, 0)),
        phase=phase,
        node=pod["spec"].get("nodeName", ""),
        ready=bool(container.get("ready")) and not leaving and not lost,
        logs="running" in state or terminated is not None or "terminated" in container.get("lastState", {}),
        created=read_time(metadata["creationTimestamp"]),
        exit_code=terminated["exitCode"] if terminated else None,
        trouble=_trouble(status, container, phase, lost),
        port=next((p["containerPort"] for c in pod["spec"]["containers"] for p in c.get("ports", ())), None),
        on_lost_node=lost,
        hopeless=state.get("waiting", {}).get("reason") == _HOPELESS,
        restarts=int(container.get("restartCount", 0)),
    )


def is_on_lost_node(pod: Mapping[str, Any]) -> bool:
    """Whether a pod's node does not respond.

    The API then says that the pod is not ready, and gives no reason; what the kubelet said last stays: a
    container that is ready.
    """
    status = pod.get("status", {})
    conditions = {c["type"]: c["status"] for c in status.get("conditions", ())}
    return (
        status.get("phase") in ("Pending", "Running")
        and conditions.get("Ready") == "False"
        and conditions.get("ContainersReady") == "True"
    )


def read_time(text: str) -> datetime:
    """A time of the API."""
    return datetime.fromisoformat(text)


def _container(status: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((c for c in status.get("containerStatuses", ()) if c["name"] == "trainer"), {})


def _trouble(status: Mapping[str, Any], container: Mapping[str, Any], phase: str, lost: bool) -> str:
    conditions = {c["type"]: c for c in status.get("conditions", ())}
    state = container.get("state", {})
    if phase == "Terminating":
        reason = conditions.get("DisruptionTarget", {}).get("reason")
        text = f"terminating ({reason})" if reason else "terminating"
        return f"{text}; its node does not respond" if lost else text
    if lost:
        return "its node does not respond"
    if phase == "Failed":
        terminated = state.get("terminated")
        if not terminated:
            return f"failed: {status.get('reason', '')} {status.get('message', '')}".strip()
        return _ending(terminated)
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return f"not scheduled: {scheduled.get('message', scheduled.get('reason', ''))}"
    waiting = state.get("waiting")
    if waiting:
        before = container.get("lastState", {}).get("terminated")
        return _waiting(waiting, before)
    ended = state.get("terminated")
    if ended and ended["exitCode"]:
        return f"{_ending(ended)}; it starts again"
    return STARTING if phase == "Pending" else ""


def _waiting(waiting: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    """`before` is how the container ended the last time."""
    reason, message = waiting["reason"], one_line(waiting.get("message") or "")
    if reason in _QUIET:
        return STARTING
    if before and reason == "CrashLoopBackOff":
        return f"{_ending(before)}; it starts again after a back-off"
    if reason in (PULL_FAILED, PULL_PAUSED):
        message = _PULL_AGAIN.sub("", message)
    return f"cannot start: {reason}: {message}".rstrip(": ")


def _ending(terminated: Mapping[str, Any]) -> str:
    """How a container ended. Of a signal the last line of the log says nothing."""
    code = terminated["exitCode"]
    if code == EXIT_INTERRUPTED:
        return f"stopped, and will resume (exit code {EXIT_INTERRUPTED})"
    if terminated.get("reason") == "OOMKilled":
        return f"ran out of memory (exit code {code}, OOMKilled): raise resources.limits.memory"
    lines = str(terminated.get("message", "")).strip().splitlines()
    last = f": {lines[-1]}" if lines and code < _SIGNALS else ""
    killed = f" (killed by signal {code - _SIGNALS})" if code > _SIGNALS else ""
    return f"ended with exit code {code}{killed}{last}"
