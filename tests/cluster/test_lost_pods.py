"""With `replaceLostPods` the pods of a release end those of a lost node, and no others."""

import os
from datetime import datetime, timedelta
from typing import Any

import pytest

from trainer.cluster import lost_pods

from .fake import BORN, FakeCluster, dark, pod

NOW = datetime.fromisoformat(BORN) + timedelta(seconds=31)
OLD = "2026-11-20T11:58:00Z"
"""Half a minute and more before `BORN`: the grace of a pod has ended then."""


@pytest.fixture
def core(cluster: FakeCluster) -> Any:
    from kubernetes import client, config

    config.load_kube_config(os.environ["KUBECONFIG"])
    return client.CoreV1Api()


def deleted(index: int, *, at: str = "2026-11-20T12:01:00Z", **values: Any) -> dict[str, Any]:
    """A pod that is to be gone at `at`."""
    found = pod(index, **values)
    found["metadata"]["deletionTimestamp"] = at
    return found


@pytest.mark.parametrize(
    ("found", "lost"),
    [
        (deleted(0, conditions=dark()), True),
        (deleted(0, conditions=dark(since="2026-11-20T12:00:20Z")), False),  # it may come back
        (pod(0, conditions=dark()), False),  # nobody has asked it to go
        (deleted(0), False),  # its node responds
        (deleted(0, at=OLD), True),  # its node was lost before it was ready
        (deleted(0, phase="Failed", at=OLD), False),  # it has ended
        (pod(0), False),
    ],
)
def test_which_pods_are_lost(found: dict[str, Any], lost: bool):
    assert lost_pods.is_lost(found, NOW) is lost


def test_a_lost_pod_is_ended_and_deleted(cluster: FakeCluster, core: Any):
    cluster.pods = [pod(0), deleted(1, conditions=dark())]
    assert lost_pods.end_lost_pods(core, "training", "cars-1", NOW) == ["cars-1-1-a"]
    (patched, status), (removed, options) = ((path, body) for _, path, body in cluster.changes)
    assert (patched, status["status"]["phase"]) == ("pods/cars-1-1-a/status", "Failed")
    assert removed == "pods/cars-1-1-a"
    assert options.get("gracePeriodSeconds", 0) == 0


def test_of_two_that_end_it_one_may_be_late(cluster: FakeCluster, core: Any):
    cluster.pods = [deleted(1, conditions=dark())]
    listed, cluster.steps = list(cluster.pods), []
    original = core.list_namespaced_pod

    def list_pods(*words: Any, **options: Any) -> Any:
        found = original(*words, **options)
        cluster.pods = []
        return found

    core.list_namespaced_pod = list_pods
    assert listed
    assert lost_pods.end_lost_pods(core, "training", "cars-1", NOW) == []


@pytest.mark.parametrize(
    "environment", [{}, {"TRAINER_REPLACE_LOST_PODS": "true"}, {"TRAINER_JOB": "a", "TRAINER_NAMESPACE": "b"}]
)
def test_unless_it_is_asked_for_nobody_looks(environment: dict[str, str]):
    assert lost_pods.start_from_environment(environment) is None
