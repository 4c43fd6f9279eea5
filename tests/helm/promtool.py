"""Prometheus's own tool, and the tests of alerts in its form."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from .charts import smallest

SCENES = Path(__file__).with_name("alerts")
"""A file for each alert: what Prometheus has scraped, minute by minute, and when the alert fires."""

_PODS = {
    "${pod0}": 'namespace="training",job="training/cars-1",pod="cars-1-0-abcde"',
    "${pod1}": 'namespace="training",job="training/cars-1",pod="cars-1-1-fghij"',
}
"""The labels that the chart's PodMonitor gives to the metrics of a pod."""


def promtool(*words: str | Path) -> str:
    """What `promtool WORDS` prints; skips the test where there is none, fails it where promtool does."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not on the PATH; Debian's package prometheus has it")
    done = subprocess.run([program, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules(chart: str, **values: Any) -> list[dict[str, Any]]:
    """The alerts of a release with the chart's default thresholds."""
    on = {"podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True, **values}}
    (group,) = smallest(chart, **on)["PrometheusRule"]["spec"]["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def write_rules(path: Path, alerts: list[dict[str, Any]]) -> Path:
    """A file of rules, as Prometheus reads it."""
    path.write_text(yaml.safe_dump({"groups": [{"name": "cars-1", "rules": alerts}]}))
    return path


def scenes(alert: str) -> list[dict[str, Any]]:
    """The scenes of an alert, with the labels of its pods."""
    text = (SCENES / f"{alert}.yaml").read_text()
    for word, labels in _PODS.items():
        text = text.replace(word, labels)
    found: list[dict[str, Any]] = yaml.safe_load(text)
    return found


def unit_test(rule: dict[str, Any], scene: dict[str, Any]) -> dict[str, Any]:
    """A scene as a test of promtool: the alert with all its labels and annotations, or none."""
    name = rule["alert"]
    alert = {
        "exp_labels": {**rule["labels"], **scene.get("labels", {})},
        "exp_annotations": {**rule["annotations"], "summary": scene.get("summary", "")},
    }
    expected = {
        **dict.fromkeys(scene.get("silent", ()), ()),
        **dict.fromkeys(scene.get("fires", ()), (alert,)),
    }
    return {
        "name": f"{name}: {scene['about']}",
        "interval": "1m",
        "input_series": [{"series": key, "values": str(value)} for key, value in scene["series"].items()],
        "alert_rule_test": [
            {"eval_time": time, "alertname": name, "exp_alerts": list(alerts)}
            for time, alerts in expected.items()
        ],
    }
