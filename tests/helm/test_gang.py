"""The pods of a release share a key, and a NetworkPolicy keeps others away from them."""

import base64
import re
from typing import Any

import pytest

from .charts import smallest

pytestmark = pytest.mark.fast

OWN = {"app.kubernetes.io/name": "cars-train", "app.kubernetes.io/instance": "cars-1"}


def test_the_pods_share_a_random_key():
    rendered = smallest("cars-train")
    secret = rendered["Secret"]
    assert secret["metadata"]["name"] == "cars-1-gang"
    assert re.fullmatch(rb"[0-9a-f]{64}", base64.b64decode(secret["data"]["key"]))
    assert rendered.environment["TRAINER_GANG_KEY"]["valueFrom"] == {
        "secretKeyRef": {"name": "cars-1-gang", "key": "key"}
    }


def test_a_key_cannot_change_under_running_pods():
    assert smallest("cars-train")["Secret"]["immutable"] is True


def test_an_existing_key_is_used_and_none_is_made():
    rendered = smallest("cars-train", gang={"existingSecret": "mine"})
    assert not [o for o in rendered.objects if o["kind"] == "Secret"]
    assert rendered.environment["TRAINER_GANG_KEY"]["valueFrom"]["secretKeyRef"]["name"] == "mine"


def test_predicting_pods_do_not_speak_to_each_other():
    rendered = smallest("cars-predict")
    assert "TRAINER_GANG_KEY" not in rendered.environment
    assert not [o for o in rendered.objects if o["kind"] in ("Secret", "Service", "NetworkPolicy")]


def test_there_is_no_network_policy_unless_it_is_asked_for():
    assert not [o for o in smallest("cars-train").objects if o["kind"] == "NetworkPolicy"]


def test_only_the_releases_pods_reach_the_gang():
    spec = policy(enabled=True)
    assert spec["podSelector"] == {"matchLabels": OWN}
    assert spec["policyTypes"] == ["Ingress"]
    assert "egress" not in spec
    gang, metrics = spec["ingress"]
    assert gang == {"from": [{"podSelector": {"matchLabels": OWN}}]}
    assert metrics == {"ports": [{"port": "metrics", "protocol": "TCP"}]}


def test_the_metrics_port_is_open_to_those_who_are_named():
    peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    _, metrics = policy(enabled=True, metricsFrom=peers)["ingress"]
    assert metrics["from"] == peers


def test_egress_can_be_limited_to_dns_the_pods_and_what_is_named():
    rules = [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 443}]}]
    spec = policy(enabled=True, egress={"restricted": True, "rules": rules})
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    pods, dns, *rest = spec["egress"]
    assert pods == {"to": [{"podSelector": {"matchLabels": OWN}}]}
    assert {(port["port"], port["protocol"]) for port in dns["ports"]} == {(53, "UDP"), (53, "TCP")}
    assert rest == rules


def policy(**values: Any) -> dict[str, Any]:
    spec: dict[str, Any] = smallest("cars-train", networkPolicy=values)["NetworkPolicy"]["spec"]
    return spec
