"""The state of a release, from its Job and pods: pure functions of the API's responses."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from trainer.errors import EXIT_INTERRUPTED, EXIT_INVALID

_INDEX = "batch.kubernetes.io/job-completion-index"
_QUIET = ("ContainerCreating", "PodInitializing")


class ReleaseState(StrEnum):
    SUSPENDED = "suspended"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


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

    @property
    def ended(self) -> bool:
        return self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True)
class Release:
    """A release, as its Job and its pods show it.

    Attributes:
        chart: cars-train or cars-predict.
        wanted: how many pods it should have.
        reason: why it failed, from the Job and the pod.
        pods: the newest pod of each index, in the order of the indexes.
        waits: the pods that do not run, one line each.
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

    @property
    def ready(self) -> int:
        return sum(pod.ready for pod in self.pods)

    @property
    def exit_code(self) -> int:
        """0: finished; 64: a pod ended with 64, invalid configuration or data; else 1."""
        if self.state is ReleaseState.FINISHED:
            return 0
        return EXIT_INVALID if any(pod.exit_code == EXIT_INVALID for pod in self.pods) else 1


def read_pod(pod: Mapping[str, Any]) -> Pod:
    """A pod as the API returns it -> the values that are used here."""
    metadata, status = pod["metadata"], pod.get("status", {})
    container: Mapping[str, Any] = next(
        (c for c in status.get("containerStatuses", ()) if c["name"] == "trainer"), {}
    )
    state = container.get("state", {})
    terminated = state.get("terminated")
    leaving = "deletionTimestamp" in metadata
    phase = status.get("phase", "Unknown")
    if leaving and phase in ("Pending", "Running"):
        phase = "Terminating"
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        index=int(metadata.get("annotations", {}).get(_INDEX, 0)),
        phase=phase,
        node=pod["spec"].get("nodeName", ""),
        ready=bool(container.get("ready")) and not leaving,
        logs="running" in state or terminated is not None,
        created=_time(metadata["creationTimestamp"]),
        exit_code=terminated["exitCode"] if terminated else None,
        trouble=_trouble(status, state, phase),
        port=next((p["containerPort"] for c in pod["spec"]["containers"] for p in c.get("ports", ())), None),
    )


def read_release(
    job: Mapping[str, Any], pods: Iterable[Mapping[str, Any]], warnings: Sequence[Mapping[str, Any]] = ()
) -> Release:
    """A Job, its pods and its Warning events as the API returns them -> the release."""
    metadata, spec, status = job["metadata"], job["spec"], job.get("status", {})
    newest: dict[int, Pod] = {}
    for pod in sorted((read_pod(pod) for pod in pods), key=lambda pod: pod.created):
        newest[pod.index] = pod
    conditions = {c["type"]: c for c in status.get("conditions", ()) if c["status"] == "True"}
    state = _state(conditions)
    wanted = int(spec.get("completions") or 1)
    ended = conditions.get("Complete") or conditions.get("Failed")
    finished_pods = [newest[index] for index in sorted(newest)]
    return Release(
        name=metadata["labels"]["app.kubernetes.io/instance"],
        chart=metadata["labels"]["app.kubernetes.io/name"],
        job=metadata["name"],
        namespace=metadata["namespace"],
        wanted=wanted,
        state=state,
        reason=_reason(conditions, finished_pods) if state is ReleaseState.FAILED else "",
        created=_time(metadata["creationTimestamp"]),
        ended=_time(ended["lastTransitionTime"]) if ended else None,
        pods=tuple(finished_pods),
        waits=tuple(_waits(newest, wanted, warnings)) if state is ReleaseState.RUNNING else (),
    )


def _state(conditions: Mapping[str, Any]) -> ReleaseState:
    if "Complete" in conditions or "SuccessCriteriaMet" in conditions:
        return ReleaseState.FINISHED
    if "Failed" in conditions or "FailureTarget" in conditions:
        return ReleaseState.FAILED
    return ReleaseState.SUSPENDED if "Suspended" in conditions else ReleaseState.RUNNING


def _reason(conditions: Mapping[str, Any], pods: Iterable[Pod]) -> str:
    condition = conditions.get("Failed") or conditions["FailureTarget"]
    failures = [
        f"pod {pod.index} {pod.trouble}" for pod in pods if pod.exit_code not in (None, 0, EXIT_INTERRUPTED)
    ]
    job = f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
    return f"{failures[0]} ({job})" if failures else job


def _waits(pods: Mapping[int, Pod], wanted: int, warnings: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    for index in range(wanted):
        pod = pods.get(index)
        if pod is None:
            latest = max(warnings, key=lambda event: event.get("lastTimestamp") or "", default=None)
            message = f" ({latest.get('message', '')})" if latest else ""
            yield f"pod {index}: not created yet{message}"
        elif pod.phase == "Failed":
            yield f"pod {index}: {pod.trouble}; the Job replaces it after its back-off"
        elif pod.trouble:
            yield f"pod {index}: {pod.trouble}"


def _trouble(status: Mapping[str, Any], state: Mapping[str, Any], phase: str) -> str:
    conditions = {c["type"]: c for c in status.get("conditions", ())}
    disrupted = conditions.get("DisruptionTarget", {})
    if phase == "Terminating":
        reason = f" ({disrupted['reason']})" if disrupted.get("reason") else ""
        return f"terminating{reason}"
    if phase == "Failed":
        terminated = state.get("terminated") or {}
        if not terminated:
            return f"failed: {status.get('reason', '')} {status.get('message', '')}".strip()
        if terminated["exitCode"] == EXIT_INTERRUPTED:
            return f"stopped, and will resume (exit code {EXIT_INTERRUPTED})"
        lines = str(terminated.get("message", "")).strip().splitlines()
        last = f": {lines[-1]}" if lines else ""
        signal = terminated.get("reason") if terminated.get("reason") not in (None, "Error") else ""
        return f"ended with exit code {terminated['exitCode']}{f' ({signal})' if signal else ''}{last}"
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return f"not scheduled: {scheduled.get('message', scheduled.get('reason', ''))}"
    waiting = state.get("waiting")
    if waiting:
        if waiting["reason"] in _QUIET:
            return "starting"
        return f"cannot start: {waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    ready = conditions.get("Ready", {})
    if phase == "Running" and ready.get("status") == "False" and ready.get("reason") == "NodeNotReady":
        return "its node is not ready"
    return "starting" if phase == "Pending" else ""


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
