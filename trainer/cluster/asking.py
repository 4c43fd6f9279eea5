"""What the pods of a training answer: its progress, and why some of them do not train."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import time

from trainer.cluster.api import Cluster, PodSilent
from trainer.cluster.pod_metrics import PodMetrics, read_metrics
from trainer.cluster.pod_state import Pod
from trainer.errors import TrainerError
from trainer.gang.endpoint import METRICS, READYZ

MAX_PODS_ASKED = 4
"""A large gang may have many that do not answer; each takes seconds."""
_NOT_READY = 503


@dataclass(frozen=True)
class Answers:
    """
    Attributes:
        progress: of the run, from the first pod that answered; None if none did.
        problem: why that pod does not train, or why there is no progress; "" if it trains.
        waits: why others do not, one line each.
    """

    progress: PodMetrics | None = None
    problem: str = ""
    waits: tuple[str, ...] = ()


def ask_pods(cluster: Cluster, pods: Sequence[Pod]) -> Answers:
    """The answers of these pods, all of which run: those that are ready are asked for the progress first."""
    waits: list[str] = []
    failure = ""
    progress, problem, chief = None, "", None
    for pod in sorted(pods, key=lambda pod: not pod.ready)[:MAX_PODS_ASKED]:
        try:
            problem, progress = _ask(cluster, pod)
        except PodSilent as silent:
            failure = failure or f"no metrics from {pod.name}: {silent.reason}"
            waits.append(f"pod {pod.index}: does not answer ({silent.reason})")
        except (TrainerError, ValueError) as error:
            text = error.problem if isinstance(error, TrainerError) else error
            return Answers(problem=f"no metrics from {pod.name}: {text}")
        else:
            chief = pod
            break
    if chief is None:
        return Answers(problem=failure)
    others = [pod for pod in pods if pod is not chief and not pod.ready and not pod.trouble]
    waits += [line for pod in others[:MAX_PODS_ASKED] if (line := _why_not(cluster, pod))]
    return Answers(progress, problem, tuple(waits))


def _ask(cluster: Cluster, pod: Pod) -> tuple[str, PodMetrics]:
    """Why a pod does not train, and its metrics. Raises ValueError if these are none."""
    assert pod.port
    _, text = cluster.fetch(pod.name, pod.port, METRICS)
    progress = read_metrics(text, time())
    status, reason = cluster.fetch(pod.name, pod.port, READYZ)
    return "" if status == 200 else reason.strip(), progress


def _why_not(cluster: Cluster, pod: Pod) -> str:
    """Why a pod that runs is not ready; "" if it does not say."""
    assert pod.port
    try:
        status, reason = cluster.fetch(pod.name, pod.port, READYZ)
    except PodSilent:
        return f"pod {pod.index}: its supervisor starts"
    except TrainerError:
        return ""
    return f"pod {pod.index}: {reason.strip()}" if status == _NOT_READY else ""
