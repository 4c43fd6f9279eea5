"""Ends the pods of lost nodes, so that their Job replaces them.

No kubelet is left there to report that a pod has ended, and the Job waits for that report. A process that
still runs on such a node can no longer write: the gang that continues holds a newer token.
"""

import json
import logging
import os
import random
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from trainer.cluster.client import api_client
from trainer.cluster.pod_state import is_on_lost_node
from trainer.cluster.wanted_pods import JOB
from trainer.errors import one_line
from trainer.gang.leading.holder import NAMESPACE
from trainer.gang.pods import PODS, whole_number

log = logging.getLogger(__name__)

REPLACE = "TRAINER_REPLACE_LOST_PODS"
LOST_SECONDS = 30
"""Seconds that the kubelet has, since the node was lost or since the pod should have ended."""
_INTERVAL_SECONDS = 5.0
"""Between two looks of a pod of a small gang; those of a large one look less often, each at its own time."""
_PODS_AT_ONCE = 4
_STATUS = {"phase": "Failed", "reason": "NodeLost", "message": "its node does not respond"}


def is_lost(pod: Mapping[str, Any], now: datetime) -> bool:
    """Whether a pod is to be deleted, and its node will not report its end: it was lost before, or has not
    reported it in time."""
    deadline = pod["metadata"].get("deletionTimestamp")
    status = pod.get("status", {})
    if deadline is None or status.get("phase") in ("Succeeded", "Failed"):
        return False
    patience = timedelta(seconds=LOST_SECONDS)
    if datetime.fromisoformat(deadline) + patience < now:
        return True
    ready = next(c for c in (*status.get("conditions", ()), {"type": "Ready"}) if c["type"] == "Ready")
    since = ready.get("lastTransitionTime")
    return is_on_lost_node(pod) and since is not None and datetime.fromisoformat(since) + patience < now


def end_lost_pods(core: Any, namespace: str, job: str, now: datetime) -> list[str]:
    """Ends the lost pods of a Job -> their names. `core` is a CoreV1Api. Raises the client's errors."""
    from kubernetes.client.exceptions import ApiException

    response = core.list_namespaced_pod(
        namespace,
        label_selector=f"batch.kubernetes.io/job-name={job}",
        _preload_content=False,
        _request_timeout=(5, 10),
    )
    lost = [pod for pod in json.loads(response.data)["items"] if is_lost(pod, now)]
    names = []
    for pod in lost:
        name = str(pod["metadata"]["name"])
        try:
            core.patch_namespaced_pod_status(name, namespace, {"status": _STATUS}, _request_timeout=(5, 10))
            core.delete_namespaced_pod(name, namespace, grace_period_seconds=0, _request_timeout=(5, 10))
        except ApiException as error:
            if error.status != 404:  # another pod was faster
                raise
            continue
        log.warning("ended %s: its node %s does not respond", name, pod["spec"].get("nodeName", ""))
        names.append(name)
    return names


def start_from_environment(environment: Mapping[str, str] = os.environ) -> threading.Thread | None:
    """A thread that ends the lost pods of the Job TRAINER_JOB, if TRAINER_REPLACE_LOST_PODS is `true`.

    The pod's ServiceAccount needs `list` and `delete` on pods, and `patch` on pods/status.
    """
    job, namespace = environment.get(JOB), environment.get(NAMESPACE)
    if environment.get(REPLACE) != "true" or not job or not namespace:
        return None
    pods = whole_number({PODS: "1", **environment}, PODS, 1)
    seconds = _INTERVAL_SECONDS * max(1.0, pods / _PODS_AT_ONCE)
    thread = threading.Thread(target=_watch, args=(job, namespace, seconds), name="lost pods", daemon=True)
    thread.start()
    return thread


def _watch(job: str, namespace: str, seconds: float) -> None:
    from kubernetes import client, config

    reported = ""
    while True:
        time.sleep(seconds * random.uniform(0.5, 1.5))
        try:
            configuration = client.Configuration()
            config.load_incluster_config(client_configuration=configuration)
            with api_client(configuration) as api:
                end_lost_pods(client.CoreV1Api(api), namespace, job, datetime.now(UTC))
            reported = ""
        except Exception as error:  # the run does not depend on it
            problem = one_line(getattr(error, "reason", None) or error)
            if problem != reported:
                reported = problem
                log.warning("the pods of lost nodes cannot be replaced: %s", problem)
