"""Wrong values are refused before anything is sent, with the reason."""

from typing import Any

import helm_python
import pytest

from .charts import smallest

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("cars-train", {"wokers": 2}, "'wokers' not allowed"),
    ("cars-train", {"workers": 0}, "'/workers': minimum: got 0, want 1"),
    ("cars-train", {"workers": "two"}, "'/workers': got string, want integer"),
    ("cars-train", {"workers": 2.5}, "'/workers': got number, want integer"),
    ("cars-train", {"ranksPerPod": "many"}, "/ranksPerPod"),
    ("cars-train", {"run": {"data": {"url": ""}}}, "run.data.url: name the dataset"),
    ("cars-train", {"run": {"run": {"url": ""}}}, "run.run.url: name the run's folder"),
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
    ("cars-train", {"extraEnv": [{"name": "AWS_SECRET_ACCESS_KEY", "value": "x"}]}, "/extraEnv/0"),
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
        "serviceAccount.name: name an existing ServiceAccount",
    ),
    ("cars-train", {"gpu": {"perPod": -1}}, "/gpu/perPod"),
    ("cars-predict", {"input": ""}, "input: name the images"),
    ("cars-predict", {"output": "predictions"}, "/output"),
    ("cars-predict", {"run": ""}, "run: name the trained run"),
    ("cars-predict", {"maxBadFraction": 2}, "'/maxBadFraction': maximum: got 2, want 1"),
    ("cars-predict", {"batchSize": 0}, "/batchSize"),
    ("cars-predict", {"gpus": 1}, "'gpus' not allowed"),
]


@pytest.mark.parametrize(("chart", "values", "reason"), WRONG, ids=lambda v: str(v)[:60])
def test_wrong_values_are_refused_with_the_reason(chart: str, values: dict[str, Any], reason: str):
    with pytest.raises(helm_python.HelmError) as refusal:
        smallest(chart, **values)
    assert reason in str(refusal.value)
