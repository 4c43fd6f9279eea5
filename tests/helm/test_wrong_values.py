"""What the API would refuse when half of the objects exist is refused by the chart, in words."""

from typing import Any

import helm_python
import pytest

from .charts import smallest

pytestmark = pytest.mark.fast

LONG = "a" * 64
NAME = {"fieldRef": {"fieldPath": "metadata.name"}}
SPREAD = {"topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"}
MOUNT = {"name": "data", "mountPath": "/data"}
DATA = {"name": "data", "emptyDir": {}}


def resources(**pairs: tuple[Any, Any]) -> dict[str, Any]:
    """Values with these requests and limits."""
    kinds = zip(("requests", "limits"), zip(*pairs.values(), strict=True), strict=True)
    return {"resources": {kind: dict(zip(pairs, values, strict=True)) for kind, values in kinds}}


BOTH: list[tuple[dict[str, Any], str]] = [
    # Requests and limits.
    (resources(cpu=(5, 4)), "resources.requests.cpu: expected at most resources.limits.cpu 4, received 5"),
    (resources(cpu=("4001m", 4)), "limits.cpu 4, received 4001m"),
    (resources(memory=("9Gi", "8Gi")), "resources.requests.memory: expected at most resources.limits.memory"),
    (resources(memory=("8193Mi", "8Gi")), "limits.memory 8Gi, received 8193Mi"),
    ({"resources": {"limits": {"nvidia.com/gpu": 1}}}, "nvidia.com/gpu is set by gpu.perPod; remove it"),
    ({"resources": {"requests": {"rdma/hca": 1}}}, "resources.requests.rdma/hca: expected resources.limits."),
    ({"resources": {"requests": {"gpu": 1}}}, "resources.requests: expected cpu, memory, ephemeral-storage"),
    ({"resources": {"limits": {"memory": "0"}}}, "/resources/limits/memory"),
    ({"resources": {"limits": {"memory": "-1Gi"}}}, "/resources/limits/memory"),
    ({"resources": {"limits": {"memory": "8gi"}}}, "/resources/limits/memory"),
    ({"resources": {"limits": {"cpu": "many"}}}, "/resources/limits/cpu"),
    ({"sharedMemory": "9Gi"}, "sharedMemory: expected at most resources.limits.memory 8Gi, of which it is a"),
    ({"sharedMemory": "0"}, "/sharedMemory"),
    ({"gpu": {"resource": "gpu"}}, "/gpu/resource"),
    ({"gpu": {"resource": "Nvidia.com/gpu"}}, "/gpu/resource"),
    # Labels, annotations, selectors.
    *(
        ({key: {name: "x"}}, f"{key}: expected keys such as example.com/team, whose last part has at most 63")
        for key in ("jobLabels", "podLabels", "jobAnnotations", "podAnnotations", "nodeSelector")
        for name in ("a b", LONG)
    ),
    *(({key: {"a": "x y"}}, f"/{key}/a") for key in ("jobLabels", "podLabels", "nodeSelector")),
    ({"podLabels": {"a": LONG}}, "/podLabels/a"),
    ({"podLabels": {"a": 1}}, "/podLabels/a"),
    ({"podLabels": {"/a": "x"}}, "podLabels: expected keys"),
    ({"podLabels": {"A.B/a": "x"}}, "podLabels: expected keys"),
    ({"podLabels": {"-a": "x"}}, "podLabels: expected keys"),
    ({"serviceAccount": {"annotations": {"a b": "x"}}}, "serviceAccount.annotations: expected keys"),
    ({"podMonitor": {"labels": {"a": "x y"}}}, "/podMonitor/labels/a"),
    ({"podMonitor": {"interval": "0s"}}, "/podMonitor/interval"),
    # Tolerations, affinity, spread.
    ({"tolerations": [{"operator": "Equal", "value": "x"}]}, "tolerations: expected a key, or operator"),
    ({"tolerations": [{}]}, "tolerations: expected a key, or operator Exists"),
    ({"tolerations": [{"key": "a", "operator": "Exists", "value": "x"}]}, "expected no value beside"),
    ({"tolerations": [{"key": "a", "operator": "Exists", "tolerationSeconds": 3}]}, "expected effect NoExec"),
    ({"tolerations": [{"key": "a", "operator": "exists"}]}, "/tolerations/0/operator"),
    ({"tolerations": [{"key": "a", "effect": "NoRun"}]}, "/tolerations/0/effect"),
    ({"tolerations": [{"key": "a b"}]}, "/tolerations/0/key"),
    ({"tolerations": [{"key": "a", "tolerationSecond": 3}]}, "'tolerationSecond' not allowed"),
    ({"affinity": {"nodeAffinty": {}}}, "'nodeAffinty' not allowed"),
    ({"topologySpreadConstraints": [{"maxSkew": 1}]}, "/topologySpreadConstraints/0"),
    (
        {"topologySpreadConstraints": [{"maxSkew": 0, **SPREAD}]},
        "/topologySpreadConstraints/0/maxSkew",
    ),
    ({"unreachableSeconds": 1.5}, "/unreachableSeconds"),
    *(({key: "A_b"}, f"/{key}") for key in ("priorityClassName", "runtimeClassName", "schedulerName")),
    # Volumes.
    *(
        ({"extraVolumes": [{"name": name, "emptyDir": {}}]}, f"extraVolumes: {name} is a volume of the chart")
        for name in ("tmp", "shm", "config", "cache")
    ),
    ({"extraVolumes": [DATA, DATA]}, "extraVolumes: expected each name once, received data twice"),
    ({"extraVolumes": [{"name": "data"}]}, "/extraVolumes/0"),
    ({"extraVolumes": [{"name": "Data", "emptyDir": {}}]}, "/extraVolumes/0/name"),
    ({"extraVolumes": [{"name": "data", "emptyDir": {}, "hostPath": {"path": "/"}}]}, "/extraVolumes/0"),
    ({"extraVolumes": [{"name": "data", "emptydir": {}}]}, "'emptydir' not allowed"),
    ({"extraVolumes": [{"emptyDir": {}}]}, "/extraVolumes/0"),
    ({"extraVolumeMounts": [MOUNT]}, "extraVolumeMounts: expected the name of a volume in extraVolumes, rec"),
    ({"extraVolumes": [DATA], "extraVolumeMounts": [MOUNT, MOUNT]}, "expected one mount at each path, recei"),
    *(
        (
            {"extraVolumes": [DATA], "extraVolumeMounts": [{"name": "data", "mountPath": path}]},
            f"extraVolumeMounts: the chart mounts {what} at",
        )
        for path, what in (
            ("/tmp/", "the chart's own volume"),
            ("/dev/shm", "sharedMemory"),
            ("/etc/cars-trainer", "the configuration"),
        )
    ),
    ({"extraVolumes": [DATA], "extraVolumeMounts": [{"name": "data", "mountPath": "data"}]}, "/mountPath"),
    ({"extraVolumes": [DATA], "extraVolumeMounts": [{"name": "data", "mountPath": "/a:b"}]}, "/mountPath"),
    ({"extraVolumes": [DATA], "extraVolumeMounts": [{"name": "data"}]}, "/extraVolumeMounts/0"),
    # Image, names, secrets.
    ({"image": {"repository": "UPPER/Case"}}, "image.repository: expected lower case, received UPPER/Case"),
    ({"image": {"repository": "a b"}}, "/image/repository"),
    ({"image": {"repository": "a//b"}}, "/image/repository"),
    ({"image": {"repository": "https://a/b"}}, "/image/repository"),
    ({"image": {"tag": ".x"}}, "/image/tag"),
    ({"image": {"tag": "a" * 129}}, "/image/tag"),
    ({"image": {"digest": "sha256:12"}}, "/image/digest"),
    ({"image": {"pullSecrets": [{"name": "A_b"}]}}, "/image/pullSecrets/0/name"),
    ({"image": {"pullSecrets": ["registry"]}}, "/image/pullSecrets/0"),
    ({"serviceAccount": {"name": "A_b"}}, "/serviceAccount/name"),
    ({"serviceAccount": {"name": "a..b"}}, "/serviceAccount/name"),
    ({"s3": {"existingSecret": "my keys"}}, "/s3/existingSecret"),
    ({"s3": {"secretKeys": {"accessKeyId": "a b"}}}, "/s3/secretKeys/accessKeyId"),
    ({"s3": {"endpoint": "http://a b"}}, "/s3/endpoint"),
    ({"s3": {"endpoint": "s3.example.com"}}, "/s3/endpoint"),
    ({"s3": {"region": "eu central"}}, "/s3/region"),
    ({"fullnameOverride": "Cars"}, "/fullnameOverride"),
    ({"fullnameOverride": "1cars"}, "/fullnameOverride"),
    ({"fullnameOverride": "a" * 53}, "/fullnameOverride"),
    # The container's environment.
    (
        {"extraEnv": [{"name": "MY_TOKEN", "value": "x"}]},
        "extraEnv: expected a secret by reference, received the value of MY_TOKEN; put it into a Secret",
    ),
    ({"extraEnv": [{"name": "1A", "value": "x"}]}, "/extraEnv/0/name"),
    ({"extraEnv": [{"name": "A"}]}, "/extraEnv/0"),
    ({"extraEnv": [{"name": "A", "value": 1}]}, "/extraEnv/0/value"),
    ({"extraEnv": [{"name": "A", "value": "1", "valueFrom": NAME}]}, "extraEnv/0"),
    ({"extraEnv": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]}, "/extraEnv/0/valueFrom/se"),
    ({"extraEnv": [{"name": "A", "valueFrom": {"secretRef": {"name": "s", "key": "k"}}}]}, "'secretRef' not"),
    ({"extraEnv": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.nme"}}}]}, "/fieldPath"),
    ({"extraEnv": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.gp"}}}]}, "resource"),
    # Other containers, other networks.
    ({"sidecars": [{"name": "trainer", "image": "a"}]}, "sidecars: trainer is the container of the chart"),
    (
        {"initContainers": [{"name": "a", "image": "a"}], "sidecars": [{"name": "a", "image": "a"}]},
        "sidecars: expected each name once in initContainers and sidecars, received a twice",
    ),
    (
        {"initContainers": [{"name": "a", "image": "a", "restartPolicy": "Always"}]},
        "initContainers: a never ends by itself (restartPolicy Always); move it to sidecars",
    ),
    ({"sidecars": [{"name": "A", "image": "a"}]}, "/sidecars/0/name"),
    ({"sidecars": [{"name": "a"}]}, "/sidecars/0"),
    ({"envFrom": [{"secretRef": {}}]}, "/envFrom/0"),
    ({"envFrom": [{"secretRef": {"name": ""}}]}, "/envFrom/0"),
    ({"envFrom": [{"name": "keys"}]}, "/envFrom/0"),
    ({"addCapabilities": ["ipc_lock"]}, "/addCapabilities/0"),
    ({"dnsPolicy": "None"}, "dnsPolicy: expected dnsConfig.nameservers beside None, received none"),
    ({"dnsPolicy": "ClusterLast"}, "/dnsPolicy"),
    ({"dnsConfig": {"nameserver": ["10.0.0.1"]}}, "'nameserver' not allowed"),
    ({"podSecurityContext": {"supplementalGroups": [0]}}, "/podSecurityContext/supplementalGroups/0"),
    ({"extraObjects": [{"kind": "ConfigMap", "metadata": {"name": "a"}}]}, "/extraObjects/0"),
    ({"extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}]}, "/extraObjects/0/metada"),
    ({"podDisruptionBudget": {"enabled": True, "minAvailable": 2}}, "minAvailable: expected at most workers"),
    ({"podDisruptionBudget": {"minAvailable": "half"}}, "/podDisruptionBudget/minAvailable"),
    (
        {"networkPolicy": {"enabled": True, "egress": {"restricted": True}}},
        "networkPolicy.egress.rules: expected egress rules for the object store",
    ),
    ({"upgradePolicy": "replace"}, "/upgradePolicy"),
    ({"resourceClaims": [{"name": "gpu"}]}, "/resourceClaims/0"),
    (
        {"resourceClaims": [{"name": "gpu", "resourceClaimName": "a", "resourceClaimTemplateName": "b"}]},
        "/resourceClaims/0",
    ),
    # Numbers.
    ({"podSecurityContext": {"runAsUser": 1 << 31}}, "/podSecurityContext/runAsUser"),
    ({"podSecurityContext": {"fsGroup": -1}}, "/podSecurityContext/fsGroup"),
    ({"backoffLimitPerIndex": 1 << 31}, "/backoffLimitPerIndex"),
    ({"ttlSecondsAfterFinished": 1 << 31}, "/ttlSecondsAfterFinished"),
    ({"activeDeadlineSeconds": 0}, "/activeDeadlineSeconds"),
    ({"workers": 100_000}, "/workers"),
]  # fmt: skip
OF_ONE: list[tuple[str, dict[str, Any], str]] = [
    (
        "cars-train",
        {"run": {"metrics": {"port": 29400}}},
        "run.metrics.port: expected another port than 29400",
    ),
    ("cars-train", {"run": {"run": {"grace": "1000000d"}}}, "/run/run/grace"),
    ("cars-train", {"run": {"run": {"grace": 1e12}}}, "/run/run/grace"),
    (
        "cars-train",
        {"cacheVolume": {"emptyDir": {}}},
        "cacheVolume: expected run.data.cache.path, where it is",
    ),
    ("cars-train", {"cacheVolume": {"emptydir": {}}}, "/cacheVolume"),
    ("cars-train", {"cacheVolume": {"emptyDir": {}, "hostPath": {"path": "/a"}}}, "/cacheVolume"),
    (
        "cars-train",
        {"run": {"data": {"cache": {"path": "/tmp", "max_bytes": "1Gi"}}}},
        "run.data.cache.path: expected a folder of its own, received /tmp",
    ),
    (
        "cars-train",
        {"workers": 9, "run": {"train": {"lanes": 8, "batch_size": 32}}},
        "workers: expected at most 8, as the run has 8 lanes",
    ),
    (
        "cars-train",
        {"workers": {"min": 2, "max": 9}, "gpu": {"perPod": 4}, "run": {"train": {"batch_size": 32}}},
        "workers: expected at most 8, as the run has 32 lanes",
    ),
    ("cars-train", {"workers": 2, "run": {"train": {"batch_size": 67}}}, "workers: expected at most 1, as"),
    ("cars-train", {"gang": {"existingSecret": "A b"}}, "/gang/existingSecret"),
    ("cars-train", {"networkPolicy": {"metricsFrom": [{"podselector": {}}]}}, "'podselector' not allowed"),
    ("cars-train", {"networkPolicy": {"egress": {"rules": [{"from": []}]}}}, "'from' not allowed"),
    (
        "cars-train",
        {"workers": {"min": 1, "max": 2}, "run": {"distribution": {"min_ranks": 1}}},
        "min_ranks",
    ),
    ("cars-predict", {"model": "keras:ResNet50"}, "model: expected either run or model, received both"),
    ("cars-predict", {"run": "", "model": "resnet50"}, "/model"),
    (
        "cars-predict",
        {"run": "", "model": "keras:ResNet50", "weights": "last"},
        "weights: expected none beside model, which has ImageNet weights",
    ),
    ("cars-predict", {"input": []}, "/input"),
    ("cars-predict", {"input": ["a.png"]}, "/input/0"),
    (
        "cars-predict",
        {"input": ["s3://b/x"] * 120_000},
        "input: expected a list of at most 900,000 characters",
    ),
    ("cars-predict", {"replaceLostPods": True}, "'replaceLostPods' not allowed"),
]
WRONG = [(chart, values, said) for values, said in BOTH for chart in ("cars-train", "cars-predict")] + OF_ONE


@pytest.mark.parametrize(("chart", "values", "said"), WRONG, ids=lambda value: str(value)[:50])
def test_what_the_api_would_refuse_is_refused_before_anything_is_sent(
    chart: str, values: dict[str, Any], said: str
):
    with pytest.raises(helm_python.HelmError) as refusal:
        smallest(chart, **values)
    assert said in str(refusal.value)


ODD: list[dict[str, Any]] = [
    {"resources": {"limits": {"cpu": None}}},
    {"resources": {"limits": {"cpu": 0.5, "memory": 2e9}}},
    {"resources": {"limits": {"memory": "1Gi", "ephemeral-storage": "10Gi", "rdma/hca": 1}}},
    {"resources": {"requests": {"cpu": "10m", "ephemeral-storage": "1Gi"}}},
    {"resources": {"requests": {"memory": "64Gi"}, "limits": {"memory": "64Gi"}}},
    {"gpu": {"perPod": 2}},
    {"gpu": {"perPod": 1, "resource": "amd.com/gpu"}, "resources": {"limits": {"memory": "4Gi"}}},
    {"image": {"repository": "registry.example.com:5000/a/b_c__d.e/f"}},
    {"image": {"repository": "localhost/cars", "tag": "v1.0_x-y"}},
    {"podLabels": {"a.b/c": "", "d": "e_f.g"}, "podAnnotations": {"a/b": "any text\nat all"}},
    {"nodeSelector": {"kubernetes.io/hostname": "node-1"}},
    {"tolerations": [{"operator": "Exists"}, {"key": "a", "value": "b", "effect": ""}]},
    {"tolerations": [{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}]},
    {"unreachableSeconds": 0},
    {"extraVolumes": [DATA], "extraVolumeMounts": [{**MOUNT, "mountPath": "/tmp/inner", "subPath": "a"}]},
    {"extraEnv": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]},
    {
        "extraEnv": [
            {"name": "A.b", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k", "optional": True}}}
        ]
    },
    {"extraEnv": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}}]},
    {"podSecurityContext": {"runAsUser": 2147483647}},
    {"sharedMemory": "8Gi"},
    {"suspend": True, "ttlSecondsAfterFinished": 0, "backoffLimitPerIndex": 0},
    {"podSecurityContext": {"supplementalGroups": [44, 109]}},
    {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.0.0.1"], "options": [{"name": "ndots"}]}},
    {"hostNetwork": True, "addCapabilities": ["IPC_LOCK"]},
    {"envFrom": [{"prefix": "A_", "configMapRef": {"name": "c", "optional": True}}]},
    {
        "initContainers": [{"name": "first", "image": "a", "command": ["true"]}],
        "sidecars": [{"name": "proxy", "image": "a:1", "startupProbe": {"tcpSocket": {"port": 1}}}],
    },
    {
        "extraObjects": [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "x"},
                "data": {"a": "{{ .Chart.Name }}"},
            }
        ]
    },
    {"podDisruptionBudget": {"enabled": True}, "networkPolicy": {"enabled": True}},
    {"upgradePolicy": "recreate"},
    {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]},
]


@pytest.mark.parametrize("chart", ["cars-train", "cars-predict"])
@pytest.mark.parametrize("values", ODD, ids=lambda value: str(value)[:50])
def test_what_is_odd_and_right_is_rendered(chart: str, values: dict[str, Any]):
    assert smallest(chart, **values).job["spec"]["completions"] == 1


def test_requests_follow_the_gpus():
    resources = smallest("cars-train", gpu={"perPod": 4}).container["resources"]
    assert resources == {
        "requests": {"cpu": "16", "memory": "64Gi", "ephemeral-storage": "1Gi"},
        "limits": {"memory": "128Gi", "nvidia.com/gpu": 4, "ephemeral-storage": "20Gi"},
    }
    given = {"requests": {"cpu": 2}, "limits": {"memory": "1Gi"}}
    resources = smallest("cars-train", gpu={"perPod": 1}, resources=given).container["resources"]
    assert resources["requests"] == {"cpu": "2", "memory": "1Gi", "ephemeral-storage": "1Gi"}


def test_the_nodes_disk_is_limited_unless_the_cache_is_on_it():
    def disk(**values: Any) -> list[str | None]:
        resources = smallest("cars-train", **values).container["resources"]
        return [resources[kind].get("ephemeral-storage") for kind in ("requests", "limits")]

    cached = {"run": {"data": {"cache": {"path": "/cache", "max_bytes": "500Gi"}}}}
    assert disk() == ["1Gi", "20Gi"]
    assert disk(**cached) == ["1Gi", None]
    assert disk(**cached, cacheVolume={"hostPath": {"path": "/nvme"}}) == ["1Gi", "20Gi"]
    assert disk(resources={"limits": {"ephemeral-storage": "500Mi"}}) == ["500Mi", "500Mi"]
    assert disk(
        resources={"limits": {"ephemeral-storage": None}, "requests": {"ephemeral-storage": None}}
    ) == [
        None,
        None,
    ]


def test_a_list_of_images_and_a_network_of_keras_reach_the_trainer():
    images = ["s3://photos/a.jpg", "https://example.com/b.jpg"]
    rendered = smallest("cars-predict", input=images, run="", model="keras:ResNet50")
    assert rendered.config["data"]["input.txt"].splitlines() == images
    assert "input: /etc/cars-trainer/input.txt" in rendered.config["data"]["predict.yaml"]
    assert "model: keras:ResNet50" in rendered.config["data"]["predict.yaml"]
    assert "weights" not in rendered.config["data"]["predict.yaml"]
    assert "the classes of 2 images of a list with keras:ResNet50 on 1 pod" in rendered.notes
    other = smallest("cars-predict", input=images[:1], run="", model="keras:ResNet50")
    assert other.config["metadata"]["name"] != rendered.config["metadata"]["name"]
