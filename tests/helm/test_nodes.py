"""Pods of containers that stop and of nodes that are lost: restarts in place, and replacements."""

from typing import Any

import helm_python
import pytest
import yaml

from .charts import NAMES, Rendered, least, merged, render, smallest

pytestmark = pytest.mark.fast

CODES = {"cars-train": [1, 75, 137, 143], "cars-predict": [75]}


def at(chart: str, kubernetes: str, **changes: Any) -> Rendered:
    return render(chart, least(chart, **changes), kubernetes=kubernetes)


@pytest.mark.parametrize("chart", NAMES)
@pytest.mark.parametrize("version", ["v1.35.0", "v1.36.2-gke.1", "v1.37.0-alpha.1"])
def test_containers_restart_in_their_pod_from_1_35_on(chart: str, version: str):
    rendered = at(chart, version)
    assert rendered.pod["restartPolicy"] == rendered.container["restartPolicy"] == "Never"
    (rule,) = rendered.container["restartPolicyRules"]
    assert rule == {"action": "Restart", "exitCodes": {"operator": "In", "values": CODES[chart]}}
    assert 64 not in CODES[chart]


@pytest.mark.parametrize(
    ("version", "changes"), [("v1.34.9", {}), ("v1.31.0-eks-1", {}), ("v1.36.0", {"restartInPod": False})]
)
def test_where_they_cannot_or_shall_not_the_job_replaces_the_pod(version: str, changes: dict[str, Any]):
    container = at("cars-train", version, **changes).container
    assert not {"restartPolicy", "restartPolicyRules"} & container.keys()


@pytest.mark.parametrize(("before", "after"), [("v1.34.0", "v1.35.0"), ("v1.35.0", "v1.34.0")])
def test_a_cluster_of_another_version_changes_no_running_job(before: str, after: str):
    installed = at("cars-train", before)
    values = least("cars-train", workers=2)
    upgraded = render("cars-train", values, live=[installed.job], kubernetes=after)
    assert upgraded.job["spec"]["template"] == installed.job["spec"]["template"]


@pytest.mark.parametrize("chart", NAMES)
def test_a_pod_leaves_a_lost_node_after_half_a_minute(chart: str):
    lost = [t for t in smallest(chart).pod["tolerations"] if t["effect"] == "NoExecute"]
    assert {t["key"]: t["tolerationSeconds"] for t in lost} == {
        "node.kubernetes.io/unreachable": 30,
        "node.kubernetes.io/not-ready": 30,
    }
    assert "tolerations" not in smallest(chart, unreachableSeconds=None).pod


def test_a_toleration_of_ones_own_comes_first():
    own = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
    spot = {"key": "spot", "operator": "Exists"}
    pod = smallest("cars-train", tolerations=[own, spot]).pod
    assert pod["tolerations"][:2] == [own, spot]
    assert [t["key"] for t in pod["tolerations"][2:]] == ["node.kubernetes.io/unreachable"]


def test_pods_may_end_lost_ones_only_where_that_is_asked_for():
    assert "TRAINER_REPLACE_LOST_PODS" not in smallest("cars-train").environment
    rendered = smallest("cars-train", replaceLostPods=True)
    assert rendered.environment["TRAINER_REPLACE_LOST_PODS"]["value"] == "true"
    (_, pods, status) = rendered["Role"]["rules"]
    assert (pods["resources"], pods["verbs"]) == (["pods"], ["list", "delete"])
    assert (status["resources"], status["verbs"]) == (["pods/status"], ["patch"])


def written(**values: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(smallest("cars-train", **values).config["data"]["run.yaml"])
    return found


@pytest.mark.parametrize(
    ("changes", "ranks"),
    [
        ({}, 2),
        ({"gpu": {"perPod": 4}}, 8),
        ({"ranksPerPod": 3}, 6),
        ({"ranksPerPod": 1, "gpu": {"perPod": 4}}, 2),
    ],
)
def test_a_range_of_workers_asks_for_the_most_and_trains_with_the_fewest(changes: dict[str, Any], ranks: int):
    values = merged({"workers": {"min": 2, "max": 8}}, changes)
    rendered = smallest("cars-train", **values)
    assert rendered.job["spec"]["completions"] == rendered.job["spec"]["parallelism"] == 8
    assert written(**values)["distribution"] == {"min_ranks": ranks}
    assert "distribution" not in written(workers=8)


def test_the_most_may_change_while_the_job_runs_and_the_fewest_may_not():
    installed = smallest("cars-train", workers={"min": 2, "max": 4})
    live = [installed.job]
    grown = render("cars-train", least("cars-train", workers={"min": 2, "max": 6}), live=live)
    assert grown.job["spec"]["completions"] == 6
    assert grown.config == installed.config
    with pytest.raises(helm_python.HelmError, match=r"workers\.min: expected 2, received 3"):
        render("cars-train", least("cars-train", workers={"min": 3, "max": 6}), live=live)


def test_kueue_may_grant_a_range_in_steps():
    queue = {"kueue.x-k8s.io/queue-name": "vision"}
    annotations = smallest("cars-train", workers={"min": 1, "max": 4}, jobLabels=queue).job["metadata"][
        "annotations"
    ]
    assert annotations["kueue.x-k8s.io/elastic-job"] == "true"
    assert (
        "kueue.x-k8s.io/elastic-job"
        not in smallest("cars-train", jobLabels=queue).job["metadata"]["annotations"]
    )


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"workers": {"min": 5, "max": 4}}, "workers.min: expected at most workers.max 4, received 5"),
        ({"workers": {"min": 0, "max": 4}}, "/workers"),
        ({"workers": {"max": 4}}, "/workers"),
        ({"workers": {"min": 1, "max": 4, "mean": 2}}, "/workers"),
        ({"unreachableSeconds": -1}, "/unreachableSeconds"),
        ({"restartInPod": "yes"}, "/restartInPod"),
    ],
    ids=str,
)
def test_what_is_no_range_is_refused(values: dict[str, Any], reason: str):
    with pytest.raises(helm_python.HelmError) as refusal:
        smallest("cars-train", **values)
    assert reason in str(refusal.value)
