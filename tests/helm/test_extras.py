"""What a release may have beside its Job, and in its pods beside the trainer."""

from typing import Any

import pytest

from .charts import NAMES, Rendered, least, render, smallest

pytestmark = pytest.mark.fast


def kinds(rendered: Rendered) -> list[str]:
    return [o["kind"] for o in rendered.objects]


@pytest.mark.parametrize("chart", NAMES)
def test_a_drain_takes_the_pods_one_after_the_other(chart: str):
    assert "PodDisruptionBudget" not in kinds(smallest(chart, workers=4))
    budget = smallest(chart, workers=4, podDisruptionBudget={"enabled": True})["PodDisruptionBudget"]
    # Not maxUnavailable: the controller counts the pods of a Job only for minAvailable.
    assert budget["spec"]["minAvailable"] == 3
    # Not AlwaysAllow: a gang that waits for a pod is not ready, and a second drain would take its other pods.
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "IfHealthyBudget"
    alone = smallest(chart, podDisruptionBudget={"enabled": True})["PodDisruptionBudget"]
    assert alone["spec"]["minAvailable"] == 0, "a drain is not blocked for ever"
    given = smallest(chart, workers=4, podDisruptionBudget={"enabled": True, "minAvailable": 4})
    assert given["PodDisruptionBudget"]["spec"]["minAvailable"] == 4


def test_the_budget_follows_the_number_of_pods():
    values = least("cars-train", workers=5, podDisruptionBudget={"enabled": True})
    upgraded = render("cars-train", values, live=[smallest("cars-train").job])
    assert upgraded["PodDisruptionBudget"]["spec"]["minAvailable"] == 4


def test_nobody_connects_to_predicting_pods_but_for_their_metrics():
    policy = smallest("cars-predict", networkPolicy={"enabled": True})["NetworkPolicy"]["spec"]
    assert policy["ingress"] == [{"ports": [{"port": "metrics", "protocol": "TCP"}]}]
    rules = [{"ports": [{"port": 443}]}]
    limited = {"enabled": True, "egress": {"restricted": True, "rules": rules}}
    dns, *rest = smallest("cars-predict", networkPolicy=limited)["NetworkPolicy"]["spec"]["egress"]
    assert [port["port"] for port in dns["ports"]] == [53, 53]
    assert rest == rules


@pytest.mark.parametrize("chart", NAMES)
def test_sidecars_end_with_the_trainer(chart: str):
    """A container in `containers` that never ends would keep the pod, and with it the Job, from ending."""
    first, proxy = {"name": "first", "image": "a:1"}, {"name": "proxy", "image": "b:1"}
    rendered = smallest(chart, initContainers=[first], sidecars=[proxy])
    assert rendered.pod["initContainers"] == [first, {**proxy, "restartPolicy": "Always"}]
    assert rendered.container["name"] == "trainer"
    assert "initContainers" not in smallest(chart).pod


@pytest.mark.parametrize("chart", NAMES)
def test_pods_on_the_nodes_own_network(chart: str):
    plain = smallest(chart).pod
    assert not {"hostNetwork", "dnsPolicy", "dnsConfig", "initContainers"} & plain.keys()
    rendered = smallest(chart, hostNetwork=True, addCapabilities=["IPC_LOCK"])
    assert rendered.pod["hostNetwork"] is True
    assert rendered.pod["dnsPolicy"] == "ClusterFirstWithHostNet"
    assert rendered.container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["IPC_LOCK"]}
    own = {"nameservers": ["10.0.0.1"]}
    given = smallest(chart, hostNetwork=True, dnsPolicy="None", dnsConfig=own).pod
    assert (given["dnsPolicy"], given["dnsConfig"]) == ("None", own)


@pytest.mark.parametrize("chart", NAMES)
def test_devices_by_claims_reach_the_container(chart: str):
    claims = [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]
    rendered = smallest(chart, resourceClaims=claims)
    assert rendered.pod["resourceClaims"] == claims
    assert rendered.container["resources"]["claims"] == [{"name": "gpu"}]
    assert "claims" not in smallest(chart).container["resources"]


@pytest.mark.parametrize("chart", NAMES)
def test_groups_and_variables_reach_the_pod(chart: str):
    sources = [{"secretRef": {"name": "proxy"}}]
    rendered = smallest(chart, podSecurityContext={"supplementalGroups": [44]}, envFrom=sources)
    assert rendered.pod["securityContext"]["supplementalGroups"] == [44]
    assert rendered.container["envFrom"] == sources


@pytest.mark.parametrize("chart", NAMES)
def test_objects_of_the_users_own_are_part_of_the_release(chart: str):
    own: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "{{ .Release.Name }}-own", "labels": {"team": "a"}},
        "stringData": {"url": "{{ .Values.s3.region }}"},
    }
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "claim"}}
    rendered = smallest(chart, extraObjects=[own, claim])
    (secret,) = (o for o in rendered.objects if o["metadata"]["name"] == "cars-1-own")
    assert secret["stringData"] == {"url": "us-east-1"}
    assert secret["metadata"]["labels"]["team"] == "a"
    assert secret["metadata"]["labels"]["app.kubernetes.io/instance"] == "cars-1"
    assert rendered["PersistentVolumeClaim"]["metadata"]["name"] == "claim"


def test_another_objects_content_changes_no_pod():
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "claim"}}
    installed = smallest("cars-train")
    upgraded = render("cars-train", least("cars-train", extraObjects=[claim]), live=[installed.job])
    assert upgraded.job["spec"]["template"] == installed.job["spec"]["template"]


@pytest.mark.parametrize(
    ("chart", "args"),
    [
        (
            "cars-train",
            {
                "doctor": ["doctor", "s3://bucket/runs/lab-1", "--quick"],
                "dataset": ["inspect", "s3://bucket/cifar10"],
            },
        ),
        ("cars-predict", {"doctor": ["doctor", "s3://bucket/predictions/photos", "--quick"]}),
    ],
)
def test_helm_test_asks_the_store_with_the_credentials_of_the_release(chart: str, args: dict[str, list[str]]):
    ca = {
        "s3": {"existingSecret": "keys", "endpoint": "http://s3"},
        "extraEnv": [{"name": "AWS_CA_BUNDLE", "value": "/ca/ca.crt"}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
        "envFrom": [{"secretRef": {"name": "proxy"}}],
    }
    rendered = smallest(chart, **ca)
    (hook,) = (o for o in rendered.hooks if o["metadata"]["annotations"]["helm.sh/hook"] == "test")
    spec = hook["spec"]["template"]["spec"]
    assert {c["name"]: c["args"] for c in spec["containers"]} == args
    wanted = {entry["name"]: entry for entry in rendered.container["env"] if entry["name"].startswith("AWS_")}
    for container in spec["containers"]:
        assert {e["name"]: e for e in container["env"] if e["name"].startswith("AWS_")} == wanted
        assert container["image"] == rendered.container["image"]
        assert container["envFrom"] == rendered.container["envFrom"]
        assert container["securityContext"] == rendered.container["securityContext"]
        assert {m["mountPath"] for m in container["volumeMounts"]} == {"/tmp", "/ca"}
    assert spec["serviceAccountName"] == rendered.pod["serviceAccountName"]
    assert spec["securityContext"] == rendered.pod["securityContext"]


@pytest.mark.parametrize("chart", NAMES)
def test_no_selector_takes_the_pods_of_hooks_for_those_of_the_job(chart: str):
    rendered = smallest(chart)
    own = rendered.job["spec"]["template"]["metadata"]["labels"].items()
    hooks = [hook for hook in rendered.hooks if hook["kind"] == "Job"]
    assert len(hooks) == 2
    for hook in hooks:
        assert not own <= hook["spec"]["template"]["metadata"]["labels"].items()
        assert hook["metadata"]["labels"]["app.kubernetes.io/part-of"] != "cars-trainer", "no release's Job"
        assert hook["spec"]["ttlSecondsAfterFinished"], "nothing is left of it"
