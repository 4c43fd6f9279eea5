"""The state of a release, from its Job and pods: pure functions of the API's responses."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from trainer.cluster.pod_state import STARTING, Pod, read_pod, read_time
from trainer.errors import EXIT_INTERRUPTED, EXIT_INVALID, one_line

MAX_LINES = 2
"""More pods than this that do not exist are one line."""


class ReleaseState(StrEnum):
    SUSPENDED = "suspended"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True)
class Release:
    """A release, as its Job and its pods show it.

    Attributes:
        chart: cars-train or cars-predict.
        wanted: how many pods it should have.
        reason: why it failed, from the Job and the pod.
        pods: the newest pod of each index, in the order of the indexes.
        waits: the pods that do not run, one line each.
        hopeless: why a pod can never start, "" if all can.
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
    hopeless: str = ""

    @property
    def ready(self) -> int:
        return sum(pod.ready for pod in self.pods)

    @property
    def exit_code(self) -> int:
        """0: finished; 64: a pod ended with 64, invalid configuration or data; else 1."""
        if self.state is ReleaseState.FINISHED:
            return 0
        return EXIT_INVALID if any(pod.exit_code == EXIT_INVALID for pod in self.pods) else 1


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
        created=read_time(metadata["creationTimestamp"]),
        ended=read_time(ended["lastTransitionTime"]) if ended else None,
        pods=tuple(finished_pods),
        waits=tuple(_waits(newest, wanted, warnings)) if state is ReleaseState.RUNNING else (),
        hopeless=next((f"pod {pod.index} {pod.trouble}" for pod in finished_pods if pod.hopeless), ""),
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
    missing = [index for index in range(wanted) if index not in pods]
    lines = [missing] if len(missing) > MAX_LINES else [[index] for index in missing]
    for indexes in lines:
        yield f"{_named(indexes)}: not created yet{_latest(warnings, kind='Job')}"
    for index in range(wanted):
        pod = pods.get(index)
        if pod is None:
            continue
        if pod.phase == "Failed":
            yield f"pod {index}: {pod.trouble}; the Job replaces it after its back-off"
        elif pod.trouble == STARTING:
            yield f"pod {index}: {pod.trouble}{_latest(warnings, kind='Pod', name=pod.name)}"
        elif pod.trouble:
            yield f"pod {index}: {pod.trouble}"


def _named(indexes: Sequence[int]) -> str:
    """Pods by their indexes, in ascending order: `pod 4`, `pods 1, 2`, `pods 1, 4 to 7`."""
    ranges: list[list[int]] = []
    for index in indexes:
        if ranges and index == ranges[-1][-1] + 1:
            ranges[-1].append(index)
        else:
            ranges.append([index])
    parts = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in ranges]
    return f"{'pod' if len(indexes) == 1 else 'pods'} {', '.join(parts)}"


def _latest(warnings: Sequence[Mapping[str, Any]], **of: str) -> str:
    """The newest of the warnings of one object, in parentheses; "" if there is none."""
    own = [event for event in warnings if of.items() <= event.get("involvedObject", {}).items()]
    newest = max(own, key=lambda event: event.get("lastTimestamp") or "", default=None)
    return f" ({one_line(newest.get('message', ''))})" if newest else ""
