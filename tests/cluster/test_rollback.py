"""Before a rollback: a Job that Kubernetes would not let it change is deleted, and no other."""

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from tests.helm.charts import least, render
from trainer.cluster import rollback
from trainer.errors import TransientError

pytestmark = pytest.mark.fast


def job(chart: str = "cars-train", **changes: Any) -> dict[str, Any]:
    """The Job of a release with these values."""
    return render(chart, least(chart, **changes)).job


def annotations(job: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    found = job["metadata"]["annotations"]
    return found[rollback.FIXED], json.loads(found[rollback.VALUES])


class Batch:
    """A BatchV1Api with one Job, which is gone when it was read `lingers` times after its deletion."""

    def __init__(self, job: dict[str, Any] | None, lingers: float = 2) -> None:
        self.job, self.lingers = job, lingers
        self.deleted: list[str] = []

    def read_namespaced_job(self, name: str, namespace: str, **_: Any) -> Any:
        assert (name, namespace) == ("cars-1", "training")
        if self.deleted:
            self.lingers -= 1
        if self.job is None or self.lingers < 0:
            raise ApiException(status=404)
        return SimpleNamespace(data=json.dumps(self.job))

    def delete_namespaced_job(self, name: str, namespace: str, propagation_policy: str, **_: Any) -> None:
        self.deleted.append(propagation_policy)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only sleeping takes time."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))


@pytest.mark.parametrize(
    ("chart", "live", "target", "why"),
    [
        (
            "cars-train",
            {"run": {"train": {"batch_size": 64}}},
            {"run": {"train": {"batch_size": 32}}},
            "run.train.batch_size was 64 and will be 32",
        ),
        ("cars-train", {"image": {"tag": "2"}}, {}, 'image.tag was "2" and will be not set'),
        ("cars-predict", {"workers": 2}, {"workers": 3}, "workers was 2 and will be 3"),
        (
            "cars-predict",
            {"input": ["s3://b/1", "s3://b/2"]},
            {"input": ["s3://b/1"]},
            'input was "2 images, sha256:',
        ),
        (
            "cars-train",
            {},
            {"nodeSelector": dict.fromkeys("abcdefgh", "x")},
            'nodeSelector.a was not set and will be "x"; nodeSelector.b',
        ),
    ],
)
def test_a_job_of_other_pods_is_deleted_and_the_values_are_named(
    chart: str, live: dict[str, Any], target: dict[str, Any], why: str
):
    batch = Batch(job(chart, **live))
    said = rollback.delete_job(batch, "training", "cars-1", *annotations(job(chart, **target)))
    assert said.startswith(why)
    assert len(said) < 250
    assert batch.deleted == ["Background"]
    assert batch.lingers < 0, "it waited until the Job was gone: helm would patch it otherwise"


@pytest.mark.parametrize(
    "target", [{"workers": 3}, {"ttlSecondsAfterFinished": 9}, {"podMonitor": {"enabled": True}}], ids=str
)
def test_what_may_change_is_left_to_helm(target: dict[str, Any]):
    batch = Batch(job())
    assert rollback.delete_job(batch, "training", "cars-1", *annotations(job(**target))) == ""
    assert not batch.deleted


def test_without_a_job_there_is_nothing_to_do():
    assert rollback.delete_job(Batch(None), "training", "cars-1", *annotations(job())) == ""


def test_a_failed_job_is_deleted_as_nothing_else_would_start_it_again():
    live = job()
    live["status"] = {"conditions": [{"type": "Failed", "status": "True", "message": "exit code 64"}]}
    said = rollback.delete_job(Batch(live), "training", "cars-1", *annotations(live))
    assert said == "it has failed (exit code 64)"


def test_a_job_that_stays_is_said():
    with pytest.raises(TransientError, match="the Job cars-1 is still there after 120 s"):
        rollback.delete_job(
            Batch(job(), float("inf")), "training", "cars-1", *annotations(job(image={"tag": "2"}))
        )


@pytest.mark.parametrize("chart", ["cars-train", "cars-predict"])
def test_the_hook_has_the_annotations_of_its_own_revision_and_rights_on_its_own_job(chart: str):
    installed = render(chart, least(chart))
    role, binding, hook = (o for o in installed.hooks if o["metadata"]["name"] == "cars-1-rollback")
    rules = {"apiGroups": ["batch"], "resources": ["jobs"], "resourceNames": ["cars-1"]}
    assert role["rules"] == [rules | {"verbs": ["get", "delete"]}]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    spec = hook["spec"]["template"]["spec"]
    assert binding["subjects"][0]["name"] == spec["serviceAccountName"]
    assert spec["automountServiceAccountToken"] is True
    fixed, values = annotations(installed.job)
    *command, noted = spec["containers"][0]["command"]
    assert command == ["python", "-m", rollback.__name__, "training", "cars-1", fixed]
    assert json.loads(noted) == values


@pytest.mark.parametrize("values", [{"upgradePolicy": "recreate"}, {"rollbackReplacesJob": False}], ids=str)
def test_there_is_no_hook_where_it_is_not_needed_or_not_wanted(values: dict[str, Any]):
    hooks = render("cars-train", least("cars-train", **values)).hooks
    assert {hook["metadata"]["annotations"]["helm.sh/hook"] for hook in hooks} == {"test"}


def test_a_long_list_of_images_stays_out_of_the_jobs_annotations():
    """All annotations of an object may have 256 KiB."""
    found = job("cars-predict", input=[f"s3://bucket/{number}.jpg" for number in range(30_000)])
    assert len(json.dumps(found["metadata"]["annotations"])) < 10_000
