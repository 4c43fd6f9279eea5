"""Installs, upgrades and uninstalls on the cluster that KUBECONFIG points to; skipped where there is none.

No image is needed: the pods wait for one that is not there.
"""

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import helm_python
import pytest

from .charts import CHARTS, least, merged, smallest
from .test_wrong_values import ODD

NOTHING_RUNS = {"image": {"tag": "none", "pullPolicy": "Never"}, "rollbackReplacesJob": False}
KINDS = "jobs,pods,services,configmaps,secrets,serviceaccounts,roles,rolebindings,networkpolicies"


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG is not set: no cluster to try the charts on")
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not on the PATH")
    name = f"cars-charts-{secrets.token_hex(3)}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--timeout=120s")


@pytest.fixture
def releases(namespace: str) -> Iterator["Releases"]:
    """Whatever a test installs is uninstalled, and nothing of it stays."""
    with helm_python.Config(kubeconfig_path=os.environ["KUBECONFIG"], namespace=namespace) as helm:
        made = Releases(namespace, helm)
        yield made
        for release in made.installed:
            helm.uninstall(release)
            deadline = time.monotonic() + 60
            while left := made.all(release):
                assert time.monotonic() < deadline, f"left of {release}: {left}"
                time.sleep(0.5)


class Releases:
    def __init__(self, namespace: str, helm: Any) -> None:
        self.namespace, self._helm = namespace, helm
        self.installed: dict[str, str] = {}

    def install(self, release: str, chart: str = "cars-train", **values: Any) -> None:
        self._helm.install(CHARTS / chart, release, merged(least(chart, **values), NOTHING_RUNS))
        self.installed[release] = chart

    def upgrade(self, release: str, **values: Any) -> None:
        self._helm.upgrade(CHARTS / self.installed[release], release, values, reuse_values=True)

    def rollback(self, release: str, revision: int) -> None:
        self._helm.rollback(release, version=revision)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(kubectl("-n", self.namespace, "get", kind, name, "-o", "json"))
        return found

    def patch(self, job: str, spec: dict[str, Any]) -> None:
        kubectl("-n", self.namespace, "patch", "job", job, "-p", json.dumps({"spec": spec}))

    def delete(self, kind: str, name: str) -> None:
        kubectl("-n", self.namespace, "delete", kind, name)

    def all(self, release: str, kinds: str = KINDS) -> dict[str, Any]:
        """The release's objects as they are, by kind and name."""
        selector = f"app.kubernetes.io/instance={release}"
        items = json.loads(kubectl("-n", self.namespace, "get", kinds, "-l", selector, "-o", "json"))["items"]
        return {f"{item['kind']}/{item['metadata']['name']}": item for item in items}

    def config(self, job: str) -> str:
        """The name of the ConfigMap that the Job mounts."""
        (config, *_) = self.get("job", job)["spec"]["template"]["spec"]["volumes"]
        return str(config["configMap"]["name"])


def test_a_refused_upgrade_changes_nothing_and_says_why_in_one_sentence(releases: Releases):
    releases.install("run", run={"train": {"batch_size": 32}})
    before = releases.all("run", "jobs,configmaps,secrets,roles,services")
    with refused(r"run.train.batch_size: expected 32, received 64 .* `kubectl -n .* delete job run`"):
        releases.upgrade("run", workers=2, run={"train": {"batch_size": 64}})
    after = releases.all("run", "jobs,configmaps,secrets,roles,services")
    assert versions(after) == versions(before)


def test_another_number_of_pods_changes_only_that(releases: Releases):
    releases.install("run")
    before, key = releases.config("run"), releases.get("secret", "run-gang")["data"]
    releases.upgrade("run", workers=3)
    job = releases.get("job", "run")
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 3
    assert releases.config("run") == before
    assert releases.get("configmap", "run")["data"] == {"workers": "3"}
    assert releases.get("secret", "run-gang")["data"] == key
    releases.rollback("run", 1)
    assert releases.get("job", "run")["spec"]["completions"] == 1


def test_whatever_the_chart_lets_through_kubernetes_does_too(releases: Releases):
    releases.install("run", workers=2)
    releases.upgrade(
        "run",
        maxFailedIndexes=1,
        ttlSecondsAfterFinished=99,
        activeDeadlineSeconds=9999,
        jobLabels={"team": "a"},
        jobAnnotations={"note": "a"},
        serviceAccount={"annotations": {"role": "a"}},
        networkPolicy={"enabled": True},
    )
    spec = releases.get("job", "run")["spec"]
    assert (spec["maxFailedIndexes"], spec["ttlSecondsAfterFinished"], spec["activeDeadlineSeconds"]) == (
        1,
        99,
        9999,
    )


@pytest.mark.parametrize("chart", ["cars-train", "cars-predict"])
def test_a_resumed_job_stays_resumed_over_an_upgrade(releases: Releases, chart: str):
    releases.install("queued", chart, suspend=True)
    assert releases.get("job", "queued")["spec"]["suspend"] is True
    releases.upgrade("queued", ttlSecondsAfterFinished=99)
    assert releases.get("job", "queued")["spec"]["suspend"] is True
    releases.patch("queued", {"suspend": False})
    releases.upgrade("queued", ttlSecondsAfterFinished=98)
    assert releases.get("job", "queued")["spec"]["suspend"] is False


def test_a_job_that_a_queue_suspended_stays_suspended_over_an_upgrade(releases: Releases):
    releases.install("queued")
    releases.patch("queued", {"suspend": True})
    releases.upgrade("queued", workers=2)
    assert releases.get("job", "queued")["spec"]["suspend"] is True
    releases.rollback("queued", 1)
    assert releases.get("job", "queued")["spec"]["suspend"] is True


def test_when_the_job_is_gone_an_upgrade_makes_a_new_one(releases: Releases):
    """After ttlSecondsAfterFinished, or `kubectl delete job`."""
    releases.install("run")
    first, key = releases.config("run"), releases.get("secret", "run-gang")["data"]
    releases.delete("job", "run")
    releases.upgrade("run", run={"train": {"batch_size": 64}})
    second = releases.config("run")
    assert second != first
    configs = set(releases.all("run", "configmaps"))
    assert configs == {"ConfigMap/run", f"ConfigMap/{second}"}
    assert releases.get("secret", "run-gang")["data"] == key


def test_a_rollback_that_the_job_refuses_leaves_its_configuration(releases: Releases):
    """Helm sends a stored manifest then; no template can refuse beforehand."""
    releases.install("run")
    releases.delete("job", "run")
    releases.upgrade("run", run={"train": {"batch_size": 64}})
    before = releases.config("run")
    with refused("immutable"):
        releases.rollback("run", 1)
    assert releases.config("run") == before
    assert "batch_size: 64" in releases.get("configmap", before)["data"]["run.yaml"]
    # Helm now takes the rolled back values for the release's own.
    with refused(r"run.train.batch_size: expected 64, received no value"):
        releases.upgrade("run", workers=2)
    releases.upgrade("run", workers=2, run={"train": {"batch_size": 64}})
    assert releases.config("run") == before
    assert releases.get("job", "run")["spec"]["completions"] == 2


@pytest.mark.parametrize("release", ["123", "true", "on", "null", "my.release", "1e3", "a" * 53])
@pytest.mark.parametrize("chart", ["cars-train", "cars-predict"])
def test_any_release_name_installs_and_gets_pods(releases: Releases, chart: str, release: str):
    releases.install(release, chart, workers=2)
    deadline = time.monotonic() + 30
    while len(releases.all(release, "pods")) < 2:
        assert time.monotonic() < deadline, f"no pods: {releases.all(release, 'jobs')}"
        time.sleep(0.5)


@contextmanager
def refused(reason: str) -> Iterator[None]:
    with pytest.raises(helm_python.HelmError, match=reason) as refusal:
        yield
    assert "immutable" in reason or len(str(refusal.value)) < 300


def versions(objects: dict[str, Any]) -> dict[str, Any]:
    """What changes with every write."""
    return {name: item["metadata"]["generation"] if item["kind"] == "Job" else
            item["metadata"]["resourceVersion"] for name, item in objects.items()}  # fmt: skip


def kubectl(*words: str) -> str:
    found = subprocess.run(["kubectl", *words], capture_output=True, text=True)
    assert found.returncode == 0, f"kubectl {' '.join(words)}: {found.stderr}"
    return found.stdout


@pytest.mark.parametrize("chart", ["cars-train", "cars-predict"])
def test_what_is_odd_and_right_is_accepted_by_the_api_server(namespace: str, chart: str, tmp_path: Path):
    for number, values in enumerate([{}, *ODD]):
        rendered = smallest(chart, **values)
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(rendered.objects)}))
        kubectl("-n", namespace, "create", "--dry-run=server", "-f", str(path))
