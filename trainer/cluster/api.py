"""The Kubernetes API as far as it is used here: plain JSON comes back, and errors that say what to do."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainer.cluster.client import api_client
from trainer.errors import ConfigError, TransientError

PART_OF = "app.kubernetes.io/part-of=cars-trainer"
_INSTANCE = "app.kubernetes.io/instance"
_JOB_NAME = "batch.kubernetes.io/job-name"
RUN_FILE = "run.yaml"
"""The key of a run's configuration in its ConfigMap."""
_TIMEOUT = (5, 30)
"""Seconds to connect, and between two bytes of an answer."""
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class Cluster:
    """One namespace of the cluster that the kubeconfig, or the pod that this runs in, points to.

    Every method raises ConfigError for missing rights or things, and Interrupted where the cluster
    does not answer.
    """

    def __init__(self, namespace: str | None = None) -> None:
        from kubernetes import client

        configuration = client.Configuration()
        self.context, own = _load(configuration)
        self.namespace = namespace or own
        self.host = str(configuration.host)
        configuration.safe_chars_for_path_param = "/:"
        api = api_client(configuration)
        self._core, self._batch = client.CoreV1Api(api), client.BatchV1Api(api)

    def jobs(self, release: str | None = None) -> list[dict[str, Any]]:
        """The Jobs of one release of our charts, or of all."""
        selector = PART_OF + (f",{_INSTANCE}={release}" if release else "")
        with self._asking("list jobs"):
            found = self._batch.list_namespaced_job(self.namespace, label_selector=selector, **_PLAIN)
            return _items(found)

    def job(self, release: str) -> dict[str, Any]:
        """The one Job of a release. Raises JobGone when only its ConfigMap is left, as after the Job's TTL,
        and ConfigError that names the releases that are there."""
        jobs = self.jobs(release)
        if jobs:
            return jobs[0]
        self._check_namespace()
        if left := [found for found in self.config_maps(release) if RUN_FILE in found]:
            raise JobGone(release, left[-1])
        others = sorted({str(job["metadata"]["labels"][_INSTANCE]) for job in self.jobs()})
        raise ConfigError(
            f"there is no release {release!r} in namespace {self.namespace!r} of {self.context}",
            f"There are: {', '.join(others)}"
            if others
            else "None of our charts is there; name another namespace with -n, or see `helm list -A`",
        )

    def pods(self, job: str) -> list[dict[str, Any]]:
        with self._asking("list pods"):
            found = self._core.list_namespaced_pod(
                self.namespace, label_selector=f"{_JOB_NAME}={job}", **_PLAIN
            )
            return _items(found)

    def warnings(self, job: str) -> list[dict[str, Any]]:
        """The Job's own Warning events; none where they may not be read."""
        try:
            with self._asking("list events"):
                found = self._core.list_namespaced_event(
                    self.namespace,
                    field_selector=f"involvedObject.kind=Job,involvedObject.name={job},type=Warning",
                    **_PLAIN,
                )
                return _items(found)
        except ConfigError:
            return []

    def config_map(self, name: str) -> Mapping[str, str]:
        with self._asking("get configmaps"):
            found = json.loads(self._core.read_namespaced_config_map(name, self.namespace, **_PLAIN).data)
            data: dict[str, str] = found.get("data") or {}
            return data

    def config_maps(self, release: str) -> list[Mapping[str, str]]:
        """The data of the release's ConfigMaps, the oldest first; none where they may not be listed."""
        selector = f"{PART_OF},{_INSTANCE}={release}"
        try:
            with self._asking("list configmaps"):
                found = _items(
                    self._core.list_namespaced_config_map(self.namespace, label_selector=selector, **_PLAIN)
                )
        except ConfigError:
            return []
        found.sort(key=lambda item: str(item["metadata"].get("creationTimestamp", "")))
        return [item.get("data") or {} for item in found]

    def fetch(self, pod: str, port: int, path: str) -> tuple[int, str]:
        """What a pod answers at http://pod:port{path}, through the API server -> status and body."""
        from kubernetes.client.exceptions import ApiException

        with self._asking("get pods/proxy"):
            try:
                found = self._core.connect_get_namespaced_pod_proxy_with_path(
                    f"{pod}:{port}", self.namespace, path.lstrip("/"), **_PLAIN
                )
                return found.status, found.data.decode(errors="replace")
            except ApiException as error:
                if _is_the_apis_own(error.body):
                    raise
                return error.status, str(error.body)

    def log(self, pod: str, *, follow: bool, since_seconds: int | None = None) -> Iterator[tuple[str, str]]:
        """A pod's log as (RFC 3339 time, line), until its end or, with `follow`, the connection's."""
        with self._asking("get pods/log"):
            options: dict[str, Any] = {"follow": follow, "timestamps": True, "container": "trainer"}
            if since_seconds is not None:
                options["since_seconds"] = since_seconds
            # Between two lines of a long epoch nothing comes.
            options |= {**_PLAIN, "_request_timeout": (5, 3600) if follow else _TIMEOUT}
            response = self._core.read_namespaced_pod_log(pod, self.namespace, **options)
            try:
                for line in _lines(response):
                    time, _, text = line.partition(" ")
                    # What has no time is the kubelet's own complaint about the log, not a line of it.
                    if time[:1].isdigit() and time.endswith("Z"):
                        yield time, text
            finally:
                response.release_conn()

    def _check_namespace(self) -> None:
        """Listing in a namespace that is not there finds nothing, and says no more."""
        from kubernetes.client.exceptions import ApiException

        try:
            self._core.read_namespace(self.namespace, **_PLAIN)
        except ApiException as error:
            if error.status == 404:
                raise ConfigError(
                    f"there is no namespace {self.namespace!r} in {self.context}", "Name another with -n"
                ) from None

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ApiException as error:
            raise self._refusal(what, error) from None
        except HTTPError as error:
            cause = getattr(error, "reason", None) or error
            raise TransientError(
                f"the cluster at {self.host} ({self.context}) does not answer: {cause}",
                "Is it up, and is KUBECONFIG the right one?",
            ) from None

    def _refusal(self, what: str, error: Any) -> ConfigError | TransientError:
        try:
            said = str(json.loads(error.body)["message"])
        except (ValueError, KeyError, TypeError):
            said = str(error.reason)
        if error.status == 401:
            return ConfigError(f"{self.context} does not accept these credentials ({said})", "Log in again")
        if error.status == 403:
            return ConfigError(
                said,
                f"Ask for the right; to check it: kubectl auth can-i {what} -n {self.namespace}",
            )
        if error.status == 404:
            return NotThere(said)
        return TransientError(f"{self.context}: {what}: {said} (status {error.status})")


class JobGone(ConfigError):
    """A release whose Job was removed, as after its TTL; `config_map` is the data of what is left of it."""

    def __init__(self, release: str, config_map: Mapping[str, str]) -> None:
        super().__init__(
            f"the Job of release {release!r} is gone with its logs, as after ttlSecondsAfterFinished",
            f"Its run is still in the store: `trainer weights {release} .` downloads the weights",
        )
        self.config_map = config_map


class NotThere(ConfigError):
    """The API knows no such thing (404)."""


_PLAIN: dict[str, Any] = {"_preload_content": False, "_request_timeout": _TIMEOUT}


def _is_the_apis_own(body: Any) -> bool:
    try:
        return bool(json.loads(body).get("kind") == "Status")
    except (ValueError, TypeError, AttributeError):
        return False


def _items(response: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(response.data)["items"]
    return items


def _lines(response: Any) -> Iterator[str]:
    """Decoded lines of a response as they arrive."""
    rest = b""
    for block in response.stream(65536):
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")


def _load(configuration: Any) -> tuple[str, str]:
    """Fill `configuration` -> a description of the cluster, and the namespace that goes with it."""
    from kubernetes import config
    from kubernetes.config.config_exception import ConfigException

    # Read here: the client reads it once, when it is imported.
    path = os.environ.get("KUBECONFIG")
    try:
        config.load_kube_config(path, client_configuration=configuration)
        _, active = config.list_kube_config_contexts(path)
        return f"context {active['name']!r}", str(active["context"].get("namespace") or "default")
    except (ConfigException, OSError) as error:
        try:
            config.load_incluster_config(client_configuration=configuration)
        except ConfigException:
            raise ConfigError(
                f"no cluster to ask: {' '.join(str(error).split())}",
                "Set KUBECONFIG, or fill ~/.kube/config; `kubectl cluster-info` shows whether it works",
            ) from None
        return "this pod's cluster", _OWN_NAMESPACE.read_text().strip()
