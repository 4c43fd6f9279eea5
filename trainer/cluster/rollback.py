"""The check before `helm rollback`: refuses what the API server would refuse half-way, at length.

A rollback sends the manifest of an older revision; no template of the chart can look at the cluster then.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from trainer.cluster.client import api_client
from trainer.errors import EXIT_INVALID, ConfigError

FIXED, VALUES = "cars-trainer/fixed", "cars-trainer/values"
"""The annotations of a Job with the checksum of what cannot change in it, and with the values that it was
installed with, as JSON."""
MAX_CHANGES = 3
_EMPTY: tuple[Any, ...] = (None, "", [])


def check_rollback(job: Mapping[str, Any], fixed: str, values: Mapping[str, Any]) -> None:
    """Raises ConfigError if a rollback to a Job with these two annotations would change the pods of `job`, or
    start nothing."""
    name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
    remedy = f"Run `kubectl -n {namespace} delete job {name}` and repeat the rollback: finished work is kept"
    for condition in job.get("status", {}).get("conditions", ()):
        if condition["type"] == "Failed" and condition["status"] == "True":
            reason = condition.get("message") or condition.get("reason", "")
            raise ConfigError(
                f"Job {name} has failed ({reason}), and a rollback does not start it again", remedy
            )
    annotations = job["metadata"].get("annotations", {})
    if annotations.get(FIXED) == fixed:
        return
    before, after = (dict(_leaves(each)) for each in (json.loads(annotations.get(VALUES, "{}")), values))
    changed = [path for path in sorted({*before, *after}) if before.get(path) != after.get(path)]
    listed = [
        f"{path}: {before.get(path, 'no value')} now, {after.get(path, 'no value')} before"
        for path in changed[:MAX_CHANGES]
    ]
    more = [f"and {len(changed) - MAX_CHANGES} more"] if len(changed) > MAX_CHANGES else []
    difference = "; ".join([*listed, *more]) or "another version of the chart"
    raise ConfigError(
        f"{difference} (the pods of an existing Job cannot be changed, and nothing was rolled back)", remedy
    )


def main() -> None:
    """Checks the Job NAMESPACE NAME against FIXED and VALUES; exits with 64 if the rollback is refused."""
    namespace, name, fixed, values = sys.argv[1:]
    try:
        job = _read(namespace, name)
        if job:
            check_rollback(job, fixed, json.loads(values))
    except ConfigError as error:
        sys.stderr.write(f"trainer: error: {error}\n")
        sys.exit(EXIT_INVALID)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The dotted paths of what is no mapping, with its JSON; what is empty counts as missing."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else key)
    elif value not in _EMPTY:
        yield path, json.dumps(value)[:60]


def _read(namespace: str, name: str) -> Mapping[str, Any] | None:
    """The Job; None if there is none. Raises the client's other errors."""
    from kubernetes import client, config
    from kubernetes.client.exceptions import ApiException

    configuration = client.Configuration()
    config.load_incluster_config(client_configuration=configuration)
    with api_client(configuration) as api:
        try:
            response = client.BatchV1Api(api).read_namespaced_job(
                name, namespace, _preload_content=False, _request_timeout=(5, 10)
            )
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        found: dict[str, Any] = json.loads(response.data)
        return found


if __name__ == "__main__":
    main()
