"""The part of the Kubernetes API that is used here: returns plain JSON, and raises errors with a remedy."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainer.cluster.client import api_client
from trainer.errors import ConfigError, TransientError, one_line

PART_OF = "app.kubernetes.io/part-of=cars-trainer"
_INSTANCE = "app.kubernetes.io/instance"
_JOB_NAME = "batch.kubernetes.io/job-name"
RUN_FILE = "run.yaml"
"""The key of a run's configuration in its ConfigMap."""
CHARTS = "cars-train or cars-predict"
NAMESPACE_REMEDY = "specify another namespace with -n, or see `helm list -A`"
MAX_EVENTS = 500
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_TIMEOUT = (5, 30)
"""Seconds to connect, and between two bytes."""
_POD_TIMEOUT = (5, 5)
_UNREACHABLE = "error trying to reach service"
"""In the API server's message when it cannot connect to a pod."""
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class Cluster:
    """One namespace of the cluster that the kubeconfig points to, or that this pod runs in.

    Every method raises ConfigError for missing permissions or objects, and TransientError if the cluster does
    not respond.
    """

    def __init__(self, namespace: str | None = None) -> None:
        from kubernetes import client

        configuration = client.Configuration()
        self.context, default_namespace = _load(configuration)
        self.namespace = namespace or default_namespace
        self.host = str(configuration.host)
        configuration.safe_chars_for_path_param = "/:"
        api = api_client(configuration)
        self._core, self._batch = client.CoreV1Api(api), client.BatchV1Api(api)

    def jobs(self, release: str | None = None) -> list[dict[str, Any]]:
        """The Jobs of one release of these charts, or of all."""
        selector = PART_OF + (f",{_INSTANCE}={release}" if release else "")
        with self._request("list jobs"):
            response = self._batch.list_namespaced_job(self.namespace, label_selector=selector, **_PLAIN)
            return _items(response)

    def job(self, release: str) -> dict[str, Any]:
        """The Job of a release; of two, while an upgrade replaces it, the newer one.

        Raises JobGone if only its ConfigMap is left, as after the Job's TTL, else ConfigError with the
        existing releases.
        """
        jobs = self.jobs(release)
        if jobs:
            return max(jobs, key=lambda job: str(job["metadata"].get("creationTimestamp", "")))
        self._check_namespace()
        if config_maps := [data for data in self.config_maps(release) if RUN_FILE in data]:
            raise JobGone(release, config_maps[-1], failed=self.installation_failed(release))
        others = ", ".join(sorted({str(job["metadata"]["labels"][_INSTANCE]) for job in self.jobs()}))
        raise ConfigError(
            f"release {release!r} not found in namespace {self.namespace!r} of {self.context}",
            f"Existing releases: {others}" if others else f"No release of {CHARTS} found; {NAMESPACE_REMEDY}",
        )

    def pods(self, job: str) -> list[dict[str, Any]]:
        with self._request("list pods"):
            response = self._core.list_namespaced_pod(
                self.namespace, label_selector=f"{_JOB_NAME}={job}", **_PLAIN
            )
            return _items(response)

    def warnings(self) -> list[dict[str, Any]]:
        """The Warning events of the namespace's Jobs and pods; empty without permission to read them."""
        try:
            with self._request("list events"):
                response = self._core.list_namespaced_event(
                    self.namespace, field_selector="type=Warning", limit=MAX_EVENTS, **_PLAIN
                )
                return _items(response)
        except ConfigError:
            return []

    def installation_failed(self, release: str) -> bool:
        """Whether Helm could not install or upgrade the release; False without permission to list secrets.

        Only the metadata of Helm's own secrets are read.
        """
        try:
            with self._request("list secrets"):
                response = self._core.list_namespaced_secret(
                    self.namespace,
                    label_selector=f"owner=helm,name={release}",
                    _headers={"Accept": _METADATA_ONLY},
                    **_PLAIN,
                )
                items = _items(response)
        except ConfigError:
            return False
        labels = [item["metadata"].get("labels") or {} for item in items]
        newest = max(labels, key=lambda label: int(label.get("version") or 0), default={})
        return newest.get("status") == "failed"

    def config_map(self, name: str) -> Mapping[str, str]:
        with self._request("get configmaps"):
            response = self._core.read_namespaced_config_map(name, self.namespace, **_PLAIN)
            data: dict[str, str] = json.loads(response.data).get("data") or {}
            return data

    def config_maps(self, release: str) -> list[Mapping[str, str]]:
        """The data of the release's ConfigMaps, the oldest first; empty without permission to list them."""
        selector = f"{PART_OF},{_INSTANCE}={release}"
        try:
            with self._request("list configmaps"):
                items = _items(
                    self._core.list_namespaced_config_map(self.namespace, label_selector=selector, **_PLAIN)
                )
        except ConfigError:
            return []
        items.sort(key=lambda item: str(item["metadata"].get("creationTimestamp", "")))
        return [item.get("data") or {} for item in items]

    def fetch(self, pod: str, port: int, path: str) -> tuple[int, str]:
        """GET http://pod:port{path} through the API server -> status and body. Raises PodSilent."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import MaxRetryError, ReadTimeoutError

        options = _PLAIN | {"_request_timeout": _POD_TIMEOUT}
        with self._request("get pods/proxy"):
            try:
                response = self._core.connect_get_namespaced_pod_proxy_with_path(
                    f"{pod}:{port}", self.namespace, path.lstrip("/"), **options
                )
                return response.status, response.data.decode(errors="replace")
            except (ReadTimeoutError, MaxRetryError) as error:
                if isinstance(getattr(error, "reason", error), ReadTimeoutError):
                    raise PodSilent(pod, f"no answer in {_POD_TIMEOUT[1]} s") from None
                raise
            except ApiException as error:
                if not _is_api_status(error.body):
                    return error.status, str(error.body)
                message = str(json.loads(error.body).get("message", ""))
                if _UNREACHABLE not in message:
                    raise
                raise PodSilent(pod, message.rpartition(": ")[2]) from None

    def log(self, pod: str, *, follow: bool, since_seconds: int | None = None) -> Iterator[tuple[str, str]]:
        """A pod's log as (RFC 3339 time, line), until its end or, with `follow`, that of the connection."""
        with self._request("get pods/log"):
            options: dict[str, Any] = {"follow": follow, "timestamps": True, "container": "trainer"}
            if since_seconds is not None:
                options["since_seconds"] = since_seconds
            # Between two lines of a long epoch no data arrive.
            options |= {**_PLAIN, "_request_timeout": (5, 3600) if follow else _TIMEOUT}
            response = self._core.read_namespaced_pod_log(pod, self.namespace, **options)
            try:
                for line in _lines(response):
                    time, _, text = line.partition(" ")
                    # A line without a time is a message of the kubelet about the log, and not part of it.
                    if time[:1].isdigit() and time.endswith("Z"):
                        yield time, text
            finally:
                response.release_conn()

    def _check_namespace(self) -> None:
        """Raises ConfigError if the namespace does not exist: listing in it just returns nothing."""
        from kubernetes.client.exceptions import ApiException

        try:
            self._core.read_namespace(self.namespace, **_PLAIN)
        except ApiException as error:
            if error.status == 404:
                raise ConfigError(
                    f"namespace {self.namespace!r} not found in {self.context}", "Specify another with -n"
                ) from None

    @contextmanager
    def _request(self, operation: str) -> Iterator[None]:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ApiException as error:
            raise self._refusal(operation, error) from None
        except HTTPError as error:
            cause = getattr(error, "reason", None) or error
            raise TransientError(
                f"the cluster at {self.host} ({self.context}) does not respond: {cause}",
                "Check that it is running, and KUBECONFIG",
            ) from None

    def _refusal(self, operation: str, error: Any) -> ConfigError | TransientError:
        try:
            message = str(json.loads(error.body)["message"])
        except (ValueError, KeyError, TypeError):
            message = str(error.reason)
        if error.status == 401:
            return ConfigError(f"{self.context} rejects these credentials ({message})", "Log in again")
        if error.status == 403:
            return ConfigError(
                message,
                f"Missing permission; check with: kubectl auth can-i {operation} -n {self.namespace}",
            )
        if error.status == 404:
            return NotFound(message)
        return TransientError(f"{self.context}: {operation}: {message} (status {error.status})")


class JobGone(ConfigError):
    """A release without a Job.

    Attributes:
        config_map: the data of its ConfigMap.
        failed: whether Helm says that its installation failed, so that it never had one.
    """

    def __init__(self, release: str, config_map: Mapping[str, str], *, failed: bool = False) -> None:
        if failed:
            super().__init__(
                f"the installation of release {release!r} failed, and it has no Job",
                f"`helm status {release}` shows why: correct the values, and repeat it as "
                f"`helm upgrade --install {release}`",
            )
        else:
            super().__init__(
                f"release {release!r} has no Job: it was deleted (ttlSecondsAfterFinished), or refused "
                "when it was installed",
                f"See `helm status {release}`; `trainer weights {release} .` downloads what its run saved",
            )
        self.config_map = config_map
        self.failed = failed


class NotFound(ConfigError):
    """The API has no such object (404)."""


class PodSilent(TransientError):
    """A pod does not answer the API server; `reason` says it in a few words."""

    def __init__(self, pod: str, reason: str) -> None:
        super().__init__(f"{pod} does not answer ({reason})")
        self.reason = reason


_PLAIN: dict[str, Any] = {"_preload_content": False, "_request_timeout": _TIMEOUT}


def _is_api_status(body: Any) -> bool:
    """Whether a response is a message of the API server, and not of the pod."""
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
    """Fills `configuration` -> a description of the cluster, and its default namespace."""
    from kubernetes import config
    from kubernetes.config.config_exception import ConfigException

    # The client itself reads the variable only once, when it is imported.
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
                f"no cluster configured: {one_line(error)}",
                "Set KUBECONFIG, or create ~/.kube/config; check with `kubectl cluster-info`",
            ) from None
        return "this pod's cluster", _OWN_NAMESPACE.read_text().strip()
