"""What a careful cluster asks of every pod: the restricted Pod Security level, and more."""

import json
from typing import Any

import pytest

from .charts import Rendered

pytestmark = pytest.mark.fast

# https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SELECTING = {"app.kubernetes.io/name", "app.kubernetes.io/instance"}


def test_pods_fit_the_restricted_level(rendered: Rendered):
    pod, container = rendered.pod, rendered.container
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert all(len(v.keys() - {"name"}) == 1 for v in pod["volumes"])
    assert {kind for v in pod["volumes"] for kind in v.keys() - {"name"}} <= RESTRICTED_VOLUMES
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"].get("runAsUser") != 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not [port for port in container.get("ports", []) if "hostPort" in port]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_what_must_be_writable_is_a_volume(rendered: Rendered):
    mounts = {m["mountPath"]: m for m in rendered.container["volumeMounts"]}
    assert {"/tmp", "/dev/shm"} <= mounts.keys()
    assert "/cache" not in mounts
    assert mounts["/etc/cars-trainer"]["readOnly"] is True
    shm = next(v for v in rendered.pod["volumes"] if v["name"] == "shm")
    assert shm["emptyDir"]["medium"] == "Memory"
    assert shm["emptyDir"]["sizeLimit"]


def test_memory_and_what_is_asked_for_are_limited(rendered: Rendered):
    resources = rendered.container["resources"]
    assert resources["limits"]["memory"]
    assert resources["requests"]["cpu"]
    assert resources["requests"]["memory"]


def test_keys_come_by_reference_alone(rendered: Rendered):
    """No object but the user's own Secret holds a key of the store, and no argument shows one."""
    assert [o["metadata"]["name"] for o in rendered.objects if o["kind"] == "Secret"] in ([], ["cars-1-gang"])
    for entry in rendered.container["env"]:
        if entry["name"].startswith("AWS_") and entry["name"].rsplit("_", 1)[1] in ("ID", "KEY", "TOKEN"):
            assert "secretKeyRef" in entry["valueFrom"]
    for text in (json.dumps(rendered.config), json.dumps(rendered.container["args"])):
        assert "secret" not in text.lower()
        assert "access_key" not in text.lower()


def test_no_version_stands_where_a_job_never_changes(rendered: Rendered):
    """A Job's pod template is immutable: a newer chart must leave it as it is (helm/helm#7082)."""
    labels = rendered.job["spec"]["template"]["metadata"]["labels"]
    assert not {"helm.sh/chart", "app.kubernetes.io/version", "app.kubernetes.io/managed-by"} & labels.keys()
    assert labels.keys() >= SELECTING


def test_selectors_name_the_release_and_nothing_that_changes(rendered: Rendered):
    for document in rendered.objects:
        selector: Any = document.get("spec", {}).get("selector")
        if selector:
            assert set(selector.get("matchLabels", selector)) == SELECTING


def test_rights_end_at_reading_the_own_job(rendered: Rendered):
    roles = [o for o in rendered.objects if o["kind"] == "Role"]
    assert rendered.pod["automountServiceAccountToken"] is bool(roles)
    for role in roles:
        assert role["rules"] == [
            {
                "apiGroups": ["batch"],
                "resources": ["jobs"],
                "resourceNames": [rendered.job["metadata"]["name"]],
                "verbs": ["get"],
            }
        ]
    assert not [o for o in rendered.objects if o["kind"].startswith("Cluster")]
    for account in (o for o in rendered.objects if o["kind"] == "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    assert rendered.pod["enableServiceLinks"] is False
