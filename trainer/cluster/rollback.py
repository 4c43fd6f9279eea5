"""Runs before `helm rollback`: deletes the release's Job if Kubernetes would not let the rollback change it.

A rollback sends the manifest of an older revision, and no template of the chart can look at the cluster then.
The API server would refuse it half-way, at length.
"""

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from trainer.cluster.client import api_client
from trainer.errors import TransientError

log = logging.getLogger(__name__)

FIXED, VALUES = "cars-trainer/fixed", "cars-trainer/values"
"""The annotations of a Job with the checksum of what cannot change in it, and with the values that it was
installed with, as JSON."""
MAX_CHANGES = 3
DELETE_SECONDS = 120.0
"""Seconds that the API server has to delete the Job; its pods may take longer to save."""
_EMPTY: tuple[Any, ...] = (None, "", [])
_TIMEOUT = (5, 10)


def why_replaced(job: Mapping[str, Any], fixed: str, values: Mapping[str, Any]) -> str:
    """Why a rollback to a Job with these two annotations needs `job` deleted; "" if it does not."""
    for condition in job.get("status", {}).get("conditions", ()):
        if condition["type"] == "Failed" and condition["status"] == "True":
            return f"it has failed ({condition.get('message') or condition.get('reason', '')})"
    annotations = job["metadata"].get("annotations", {})
    if annotations.get(FIXED) == fixed:
        return ""
    now, then = (dict(_leaves(each)) for each in (json.loads(annotations.get(VALUES, "{}")), values))
    changed = [path for path in sorted({*now, *then}) if now.get(path) != then.get(path)]
    listed = [
        f"{path} was {now.get(path, 'not set')} and will be {then.get(path, 'not set')}"
        for path in changed[:MAX_CHANGES]
    ]
    more = [f"and {len(changed) - MAX_CHANGES} more"] if len(changed) > MAX_CHANGES else []
    return "; ".join([*listed, *more]) or "it is of another version of the chart"


def delete_job(batch: Any, namespace: str, name: str, fixed: str, values: Mapping[str, Any]) -> str:
    """Deletes the Job if it is in the way, and waits until it is gone -> why; "" if there is no need.

    `batch` is a BatchV1Api. The Job's pods are stopped as by `kubectl delete job`: they save. Raises
    TransientError if it is still there after DELETE_SECONDS, else the client's errors.
    """
    job = _read(batch, namespace, name)
    reason = why_replaced(job, fixed, values) if job else ""
    if not reason:
        return ""
    batch.delete_namespaced_job(name, namespace, propagation_policy="Background", _request_timeout=_TIMEOUT)
    deadline = time.monotonic() + DELETE_SECONDS
    while _read(batch, namespace, name):
        if time.monotonic() > deadline:
            raise TransientError(f"the Job {name} is still there after {DELETE_SECONDS:.0f} s")
        time.sleep(0.5)
    return reason


def main() -> None:
    """Arguments: namespace and name of the Job, and the two annotations that it will have."""
    from kubernetes import client, config

    namespace, name, fixed, values = sys.argv[1:]
    configuration = client.Configuration()
    config.load_incluster_config(client_configuration=configuration)
    with api_client(configuration) as api:
        reason = delete_job(client.BatchV1Api(api), namespace, name, fixed, json.loads(values))
    if reason:
        log.info("deleted Job %s: %s. Finished work is kept, and the new Job resumes it", name, reason)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The dotted paths of all values but mappings, with their JSON; what is empty counts as missing."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else key)
    elif value not in _EMPTY:
        yield path, json.dumps(value)[:60]


def _read(batch: Any, namespace: str, name: str) -> Mapping[str, Any] | None:
    """The Job; None if there is none. Raises the client's other errors."""
    from kubernetes.client.exceptions import ApiException

    try:
        response = batch.read_namespaced_job(
            name, namespace, _preload_content=False, _request_timeout=_TIMEOUT
        )
    except ApiException as error:
        if error.status == 404:
            return None
        raise
    found: dict[str, Any] = json.loads(response.data)
    return found


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
