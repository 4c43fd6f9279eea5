"""Wrong values are refused before anything is sent, with the reason."""

from typing import Any

import helm_python
import pytest

from .charts import smallest

pytestmark = pytest.mark.fast

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("cars-train", {"wokers": 2}, "'wokers' not allowed"),
    ("cars-train", {"workers": 0}, "'/workers': minimum: got 0, want 1"),
    ("cars-train", {"workers": "two"}, "'/workers': got string, want integer"),
    ("cars-train", {"workers": 2.5}, "'/workers': got number, want integer"),
    ("cars-train", {"ranksPerPod": "many"}, "/ranksPerPod"),
    ("cars-train", {"run": {"data": {"url": ""}}}, "run.data.url: expected the URL of the dataset"),
    ("cars-train", {"run": {"run": {"url": ""}}}, "run.run.url: expected the URL of the run's folder"),
    (
        "cars-train",
        {"run": {"run": {"url": "bucket/runs"}}},
        "'/run/run/url': 'bucket/runs' does not match pattern",
    ),
    ("cars-train", {"run": {"run": {"grace": "60 sec"}}}, "/run/run/grace"),
    ("cars-train", {"run": {"metrics": {"port": 80}}}, "'/run/metrics/port': minimum: got 80, want 1,024"),
    ("cars-train", {"run": {"train": {"epoch": 3}}}, "'epoch' not allowed"),
    ("cars-train", {"run": {"train": {"batch_size": 0}}}, "/run/train/batch_size"),
    ("cars-train", {"run": {"model": {"batch_norm": "global"}}}, "value must be one of 'local', 'grouped'"),
    ("cars-train", {"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    ("cars-train", {"image": {"repository": "cars-trainer:latest"}}, "/image/repository"),
    ("cars-train", {"s3": {"accessKey": "AKIA"}}, "'accessKey' not allowed"),
    ("cars-train", {"s3": {"endpoint": "http://me:secret@s3"}}, "/s3/endpoint"),
    (
        "cars-train",
        {"extraEnv": [{"name": "AWS_SECRET_ACCESS_KEY", "value": "x"}]},
        "extraEnv: expected a secret by reference, received the value of AWS_SECRET_ACCESS_KEY",
    ),
    (
        "cars-train",
        {"podSecurityContext": {"runAsUser": 0}},
        "'/podSecurityContext/runAsUser': minimum: got 0, want 1",
    ),
    ("cars-train", {"podSecurityContext": {"runAsNonRoot": False}}, "'runAsNonRoot' not allowed"),
    ("cars-train", {"resources": {"limits": {"memory": None}}}, "missing property 'memory'"),
    ("cars-train", {"resources": {"limits": {"memory": "8 GB"}}}, "/resources/limits/memory"),
    (
        "cars-train",
        {"serviceAccount": {"create": False}},
        "serviceAccount.name: expected the name of a ServiceAccount",
    ),
    ("cars-train", {"gpu": {"perPod": -1}}, "/gpu/perPod"),
    (
        "cars-train",
        {"workers": 2, "run": {"distribution": {"strategy": "mirrored"}}},
        "run.distribution.strategy: mirrored is for one pod, received workers 2",
    ),
    ("cars-train", {"cache": {"size": "10Gi"}}, "'cache' not allowed"),
    (
        "cars-train",
        {"podLabels": {"app.kubernetes.io/instance": "other"}},
        "podLabels: app.kubernetes.io/instance is set by the chart; remove it from podLabels",
    ),
    (
        "cars-predict",
        {"podLabels": {"batch.kubernetes.io/job-name": "other"}},
        "podLabels: batch.kubernetes.io/job-name is set by the chart",
    ),
    ("cars-train", {"jobLabels": {"app.kubernetes.io/part-of": "x"}}, "jobLabels: app.kubernetes.io/part-of"),
    ("cars-train", {"jobAnnotations": {"cars-trainer/fixed": "x"}}, "jobAnnotations: cars-trainer/fixed"),
    (
        "cars-train",
        {"extraEnv": [{"name": "HOME", "value": "/root"}]},
        "extraEnv: HOME is set by the chart; remove it from extraEnv",
    ),
    (
        "cars-train",
        {"extraEnv": [{"name": "TRAINER_PODS", "value": "3"}]},
        "extraEnv: TRAINER_PODS is set by",
    ),
    (
        "cars-predict",
        {"extraEnv": [{"name": "AWS_DEFAULT_REGION", "value": "eu-central-1"}]},
        "extraEnv: AWS_DEFAULT_REGION is set by the chart; remove it from extraEnv and use s3.region",
    ),
    (
        "cars-train",
        {"extraEnv": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]},
        "extraEnv: expected each variable once, received A twice",
    ),
    ("cars-train", {"extraEnv": [{"name": "HF_TOKEN", "value": "x"}]}, "the value of HF_TOKEN"),
    (
        "cars-train",
        {"networkPolicy": {"enabled": True, "egress": {"restricted": True}}},
        "networkPolicy.egress.rules: expected egress rules",
    ),
    ("cars-predict", {"input": ""}, "input: expected the URL of the images"),
    ("cars-predict", {"output": "predictions"}, "/output"),
    ("cars-predict", {"run": ""}, "run: expected the URL of a trained run"),
    ("cars-predict", {"maxBadFraction": 2}, "'/maxBadFraction': maximum: got 2, want 1"),
    ("cars-predict", {"batchSize": 0}, "/batchSize"),
    ("cars-predict", {"gpus": 1}, "'gpus' not allowed"),
]


@pytest.mark.parametrize(("chart", "values", "reason"), WRONG, ids=lambda v: str(v)[:60])
def test_wrong_values_are_refused_with_the_reason(chart: str, values: dict[str, Any], reason: str):
    with pytest.raises(helm_python.HelmError) as refusal:
        smallest(chart, **values)
    assert reason in str(refusal.value)


@pytest.mark.parametrize(
    "name",
    [
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "TOKENIZERS_PARALLELISM",
    ],
)
def test_a_variable_that_says_where_a_secret_is_holds_none(name: str):
    assert smallest("cars-train", extraEnv=[{"name": name, "value": "x"}]).environment[name]["value"] == "x"


def test_a_variable_of_the_store_is_free_where_no_value_sets_it():
    key = {"name": "AWS_ACCESS_KEY_ID", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "id"}}}
    assert smallest("cars-train", extraEnv=[key]).environment["AWS_ACCESS_KEY_ID"] == key
