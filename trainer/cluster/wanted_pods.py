"""How many pods this pod's Job should have: unlike the pods' environment, it can change while they run."""

import json
import os
from collections.abc import Callable, Mapping

from trainer.cluster.client import api_client
from trainer.gang.leading.holder import NAMESPACE

JOB = "TRAINER_JOB"
"""The environment variable with this pod's Job."""


def from_environment(environment: Mapping[str, str] = os.environ) -> Callable[[], int] | None:
    """A function that reads `spec.completions` of the Job TRAINER_JOB in TRAINER_NAMESPACE; None outside a
    cluster.

    The pod's ServiceAccount needs `get` on that Job. A call takes a round trip, and raises the errors of the
    kubernetes client.
    """
    job, namespace = environment.get(JOB), environment.get(NAMESPACE)
    if not job or not namespace or "KUBERNETES_SERVICE_HOST" not in environment:
        return None

    def wanted() -> int:
        # Imported in the caller's thread, at its first call: it takes most of a second.
        from kubernetes import client, config

        configuration = client.Configuration()
        config.load_incluster_config(client_configuration=configuration)
        with api_client(configuration) as api:
            response = client.BatchV1Api(api).read_namespaced_job(
                job, namespace, _preload_content=False, _request_timeout=(5, 10)
            )
            return int(json.loads(response.data)["spec"]["completions"])

    return wanted
