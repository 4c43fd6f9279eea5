"""A namespace of its own on somebody's cluster, with the development stack in it, and what tests do there."""

import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import helm_python
import yaml

from scripts.processes import free_port, s3_environment, start_server, stop_server
from tests.helm.charts import CHARTS, merged, read
from trainer import __version__
from trainer.cluster.api import Cluster
from trainer.cluster.pod_metrics import PodMetrics, read_metrics
from trainer.errors import TrainerError

ROOT = Path(__file__).parents[2]
PORT = 9090


@dataclass(frozen=True)
class Stack:
    """`environment`: what reaches the namespace's store from here."""

    namespace: str
    environment: dict[str, str]
    folder: Path

    def kubectl(self, *words: str) -> str:
        return kubectl("-n", self.namespace, *words)

    def trainer(self, *words: str, code: int = 0) -> str:
        """Run the command; what it printed."""
        found = subprocess.run(
            [sys.executable, "-m", "trainer", *words],
            capture_output=True,
            text=True,
            env={**os.environ, **self.environment},
        )
        assert found.returncode == code, f"trainer {words}: {found.returncode}\n{found.stdout}{found.stderr}"
        return found.stdout

    def install(self, chart: str, release: str, **values: Any) -> None:
        """The chart's ci/development-values.yaml with `values` laid over, and the image under test."""
        whole = merged(read(CHARTS / chart / "ci" / "development-values.yaml"), {"image": image(), **values})
        with self._helm() as helm:
            helm.install(CHARTS / chart, release, whole)

    def upgrade(self, chart: str, release: str, **values: Any) -> None:
        with self._helm() as helm:
            helm.upgrade(CHARTS / chart, release, merged(helm.get_values(release), values))

    def uninstall(self, release: str) -> None:
        with self._helm() as helm:
            helm.uninstall(release)

    def left_of(self, release: str) -> list[str]:
        kinds = "jobs,pods,services,configmaps,secrets,serviceaccounts,roles,rolebindings"
        return self.kubectl(
            "get", kinds, "-l", f"app.kubernetes.io/instance={release}", "-o", "name"
        ).splitlines()

    def pod(self, release: str, index: int) -> str:
        """The name of the newest pod of an index that has not ended."""
        labels = f"batch.kubernetes.io/job-name={release},batch.kubernetes.io/job-completion-index={index}"
        pods = json.loads(self.kubectl("get", "pods", "-l", labels, "-o", "json"))["items"]
        (name,) = (
            str(pod["metadata"]["name"])
            for pod in pods
            if pod["status"]["phase"] in ("Pending", "Running") and "deletionTimestamp" not in pod["metadata"]
        )
        return name

    def progress(self, release: str) -> PodMetrics | None:
        """The chief's, None while it does not answer."""
        try:
            _, text = Cluster(self.namespace).fetch(self.pod(release, 0), PORT, "metrics")
            return read_metrics(text, time.time())
        except (TrainerError, ValueError):
            return None

    def trains(self, release: str, *, generation: int = 0) -> Callable[[], PodMetrics | None]:
        """Says how far it is once a step was finished in a generation above `generation`."""
        first: int | None = None

        def check() -> PodMetrics | None:
            nonlocal first
            found = self.progress(release)
            if found is None or found.step is None or (found.generation or 0) <= generation:
                return None
            if first is None and generation:
                first = found.step
                return None
            return found if found.step > (first or 0) else None

        return check

    @contextmanager
    def _helm(self) -> Iterator[Any]:
        with helm_python.Config(kubeconfig_path=os.environ["KUBECONFIG"], namespace=self.namespace) as helm:
            yield helm


def image() -> dict[str, str]:
    """TRAINER_TEST_IMAGE and TRAINER_TEST_PULL_POLICY as the charts' values."""
    name = os.environ.get("TRAINER_TEST_IMAGE", f"cars-trainer:{__version__}")
    policy = {"pullPolicy": os.environ.get("TRAINER_TEST_PULL_POLICY", "IfNotPresent")}
    if "@" in name:
        repository, _, digest = name.partition("@")
        return {"repository": repository, "digest": digest, **policy}
    match = re.fullmatch(r"(.+?)(?::([\w.-]+))?", name)
    assert match
    return {"repository": match[1], "tag": match[2] or "latest", **policy}


def kubectl(*words: str) -> str:
    found = subprocess.run(["kubectl", *words], capture_output=True, text=True)
    assert found.returncode == 0, f"kubectl {' '.join(words)}: {found.stderr}"
    return found.stdout


def until(check: Callable[[], Any], *, seconds: float, what: str) -> tuple[Any, float]:
    """The first true answer, and how long it took."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        found = check()
        if found:
            return found, time.monotonic() - began
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


@contextmanager
def development_stack(folder: Path) -> Iterator[Stack]:
    """k8s/dev in a namespace with a random name, and a port to its store; gone afterwards."""
    name = f"cars-test-{secrets.token_hex(3)}"
    overlay = {
        "namespace": name,
        "resources": [os.path.relpath(ROOT / "k8s" / "dev", folder)],
        "patches": [
            {
                "target": {"kind": "Namespace"},
                "patch": yaml.safe_dump([{"op": "replace", "path": "/metadata/name", "value": name}]),
            }
        ],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    kubectl("apply", "-k", str(folder))
    try:
        kubectl("-n", name, "wait", "--for=condition=Available", "deployment/s3", "--timeout=120s")
        port = free_port()
        forward = start_server(
            ["kubectl", "-n", name, "port-forward", "service/s3", f"{port}:7070"],
            port,
            folder / "forward.log",
        )
        try:
            environment = s3_environment(f"http://127.0.0.1:{port}", "cars-dev", "only-for-development")
            yield Stack(name, environment, folder)
        finally:
            stop_server(forward)
    finally:
        kubectl("delete", "-k", str(folder), "--wait=true", "--timeout=120s")
