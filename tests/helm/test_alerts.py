"""The alerts of both charts: they fire when they should, and say what to do; metrics that they name exist."""

import re
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from .charts import CHARTS, NAMES, smallest
from .promtool import SCENES, promtool, rules, scenes, unit_test, write_rules

ALERTS = [(chart, rule) for chart in NAMES for rule in rules(chart)]
RUNBOOKS = CHARTS.parent / "docs" / "runbooks"
METRICS = (CHARTS.parent / "docs" / "metrics.md").read_text()
HEADINGS = ["Meaning", "Impact", "Diagnosis", "What to do"]
OTHERS = {"kube_job_failed", "kube_pod_status_phase"}
"""What alerts use of kube-state-metrics."""

each = pytest.mark.parametrize(("chart", "rule"), ALERTS, ids=[rule["alert"] for _, rule in ALERTS])
SERVED = {
    "cars-train": set(re.findall(r"^\| `(trainer_(?!predict_)\w+)`", METRICS, re.MULTILINE)),
    "cars-predict": set(re.findall(r"^\| `(trainer_predict_\w+)`", METRICS, re.MULTILINE)),
}
"""The metrics that the pods of a chart serve."""


def own_metrics(expression: str) -> set[str]:
    """The names before the braces of an expression, where every metric has its selector."""
    return set(re.findall(r"([a-zA-Z_:][\w:]*)\{", expression))


@pytest.mark.fast
@each
def test_an_alert_has_its_fields_and_its_page(chart: str, rule: dict[str, Any]):
    name = rule["alert"]
    prefix = {"cars-train": "CarsTrain", "cars-predict": "CarsPredict"}[chart]
    assert re.fullmatch(rf"{prefix}([A-Z][a-z]+)+", name)
    assert (CHARTS / chart / "alerts" / f"{name}.yaml").is_file()
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["labels"]["release"] == "cars-1"
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert "cars-1" in rule["annotations"]["summary"] or "$labels.job_name" in rule["annotations"]["summary"]
    assert not rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["description"].endswith(".")
    assert "${" not in yaml.safe_dump(rule), "a word that the chart does not know"
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
    page = (RUNBOOKS / f"{name}.md").read_text()
    assert page.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == HEADINGS
    assert f"[{name}]({name}.md)" in (RUNBOOKS / "README.md").read_text()


@pytest.mark.fast
@each
def test_an_alert_names_metrics_that_exist(chart: str, rule: dict[str, Any]):
    found = own_metrics(rule["expr"])
    assert found
    assert found <= SERVED[chart] | OTHERS
    named = set(re.findall(r"\b(?:trainer|kube)_\w+", rule["expr"]))
    assert named == found, "each has the release's selector"


@pytest.mark.fast
@each
def test_a_page_names_metrics_and_thresholds_that_exist(chart: str, rule: dict[str, Any]):
    page = (RUNBOOKS / f"{rule['alert']}.md").read_text()
    assert set(re.findall(r"\btrainer_\w+", page)) <= SERVED[chart]
    thresholds = yaml.safe_load((CHARTS / chart / "values.yaml").read_text())["prometheusRule"]["thresholds"]
    assert set(re.findall(r"\bthresholds\.(\w+)", page)) <= thresholds.keys()


@pytest.mark.fast
def test_every_page_and_every_scene_has_its_alert():
    names = {rule["alert"] for _, rule in ALERTS}
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == names | {"README"}
    assert {path.stem for path in SCENES.iterdir()} == names


@pytest.mark.fast
@each
def test_an_alert_is_tried_on_both_sides(chart: str, rule: dict[str, Any]):
    """There is a scene in which it fires and is resolved, and one in which it never does."""

    def minute(time: str) -> int:
        return int(time.removesuffix("m"))

    found = scenes(rule["alert"])
    assert [scene for scene in found if not scene.get("fires")]
    firing = [scene for scene in found if scene.get("fires") and scene.get("silent")]
    times = [[minute(time) for time in (s["silent"][0], *s["fires"], s["silent"][-1])] for s in firing]
    assert any(before < min(fires) and max(fires) < after for before, *fires, after in times)


@pytest.mark.parametrize("chart", NAMES)
def test_alerts_fire_and_are_resolved(chart: str, tmp_path: Path):
    alerts = rules(chart)
    tests = {
        "rule_files": [str(write_rules(tmp_path / "rules.yaml", alerts))],
        "evaluation_interval": "1m",
        "tests": [unit_test(rule, scene) for rule in alerts for scene in scenes(rule["alert"])],
    }
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests))
    promtool("test", "rules", tmp_path / "tests.yaml")


@pytest.mark.parametrize("chart", NAMES)
def test_prometheus_accepts_the_rules(chart: str, tmp_path: Path):
    alerts = rules(chart)
    printed = promtool("check", "rules", write_rules(tmp_path / "rules.yaml", alerts))
    assert f"SUCCESS: {len(alerts)} rules found" in printed


@pytest.mark.fast
@pytest.mark.parametrize("chart", NAMES)
def test_a_release_has_alerts_only_if_asked(chart: str):
    assert "PrometheusRule" not in [o["kind"] for o in smallest(chart).objects]
    rule = smallest(
        chart,
        podMonitor={"enabled": True},
        prometheusRule={"enabled": True, "labels": {"release": "prometheus"}},
    )["PrometheusRule"]
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert rule["metadata"]["labels"]["app.kubernetes.io/instance"] == "cars-1"


@pytest.mark.fast
@each
def test_an_alert_can_be_left_out(chart: str, rule: dict[str, Any]):
    name = rule["alert"]
    assert name not in [found["alert"] for found in rules(chart, disabled=[name])]
    assert len(rules(chart, disabled=[name])) == len(rules(chart)) - 1


@pytest.mark.fast
@pytest.mark.parametrize("chart", NAMES)
def test_labels_routes_and_pages_of_the_users_own(chart: str):
    url = "https://git.example.com/cars/docs/runbooks"
    for rule in rules(chart, alertLabels={"team": "a", "severity": "page"}, runbooks=f"{url}/", job="other"):
        assert rule["labels"] == {"release": "cars-1", "team": "a", "severity": "page"}
        assert rule["annotations"]["runbook_url"] == f"{url}/{rule['alert']}.md"
        assert 'job="other"' in rule["expr"] or "trainer_" not in rule["expr"]


THRESHOLDS = [
    ("cars-train", {"stalled": "10m"}, "CarsTrainStalled", "> 600"),
    ("cars-train", {"noProgress": "2h"}, "CarsTrainNoProgress", "[2h] offset 2h"),
    ("cars-train", {"restarts": 9}, "CarsTrainRestarting", "> 9"),
    ("cars-train", {"waitingForData": 0.5}, "CarsTrainWaitingForData", "> 0.5"),
    ("cars-train", {"checkpointAge": "1h"}, "CarsTrainCheckpointOverdue", "> 3600"),
    ("cars-train", {"storeRetries": 0.25}, "CarsTrainStoreErrors", "> 0.25"),
    ("cars-predict", {"notMoving": "1h"}, "CarsPredictNotMoving", "[1h] offset 1h"),
]


@pytest.mark.fast
@pytest.mark.parametrize(("chart", "thresholds", "name", "expected"), THRESHOLDS)
def test_thresholds_are_values(chart: str, thresholds: dict[str, Any], name: str, expected: str):
    (rule,) = (r for r in rules(chart, thresholds=thresholds) if r["alert"] == name)
    assert expected in rule["expr"]


@pytest.mark.fast
@pytest.mark.parametrize("chart", NAMES)
def test_waiting_times_are_values(chart: str):
    changed = {"pending": "1h", "metricsAbsent": "2h"}
    times = {rule["alert"]: rule.get("for") for rule in rules(chart, thresholds=changed)}
    assert [times[name] for name in times if name.endswith("PodsPending")] == ["1h"]
    assert [times[name] for name in times if name.endswith("MetricsAbsent")] == ["2h"]


@pytest.mark.fast
def test_too_many_bad_follows_the_fraction_at_which_the_job_fails():
    on = {"podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
    (group,) = smallest("cars-predict", maxBadFraction=0.02, **on)["PrometheusRule"]["spec"]["groups"]
    (rule,) = (r for r in group["rules"] if r["alert"] == "CarsPredictTooManyBad")
    assert rule["expr"].endswith("> 0.02 / 2")


WRONG = [
    ({"disabled": ["Stalled"]}, "prometheusRule.disabled: expected alerts of Cars"),
    ({"thresholds": {"pending": "soon"}}, "/prometheusRule/thresholds/pending"),
    ({"thresholds": {"pending": 900}}, "/prometheusRule/thresholds/pending"),
    ({"thresholds": {"other": "1m"}}, "'other' not allowed"),
    ({"alertLabels": {"a-b": "c"}}, "invalid propertyName 'a-b'"),
    ({"labels": {"app.kubernetes.io/name": "x"}}, "prometheusRule.labels: app.kubernetes.io/name is set by"),
    ({"labels": {"a b": "x"}}, "prometheusRule.labels: expected keys such as example.com/team"),
    ({"runbooks": ""}, "/prometheusRule/runbooks"),
]


@pytest.mark.fast
@pytest.mark.parametrize("chart", NAMES)
@pytest.mark.parametrize(("values", "expected"), WRONG, ids=lambda value: str(value)[:40])
def test_invalid_values_are_refused(chart: str, values: dict[str, Any], expected: str):
    with pytest.raises(helm_python.HelmError) as refusal:
        rules(chart, **values)
    assert expected in str(refusal.value)


@pytest.mark.fast
@pytest.mark.parametrize("chart", NAMES)
def test_alerts_without_metrics_are_refused(chart: str):
    with pytest.raises(helm_python.HelmError, match=r"prometheusRule.job: expected the label"):
        smallest(chart, prometheusRule={"enabled": True})
    assert smallest(chart, prometheusRule={"enabled": True, "job": "pods"})["PrometheusRule"]


@pytest.mark.fast
def test_an_age_that_every_checkpoint_reaches_is_refused():
    on = {"podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
    with pytest.raises(helm_python.HelmError, match=r"expected more than run.run.checkpoint.every \(45m\)"):
        smallest("cars-train", run={"run": {"checkpoint": {"every": "45m"}}}, **on)
    assert smallest("cars-train", run={"run": {"checkpoint": {"every": "500 steps"}}}, **on)["PrometheusRule"]


@pytest.mark.parametrize("chart", NAMES)
def test_a_packaged_chart_has_its_alerts(chart: str, tmp_path: Path):
    helm_python.package(CHARTS / chart, destination=tmp_path)
    (archive,) = tmp_path.glob("*.tgz")
    values = yaml.safe_load((CHARTS / chart / "ci" / "smallest-values.yaml").read_text())
    values |= {"podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
    with helm_python.Chart.load(archive) as loaded:
        files = loaded.render(values, name="cars-1", namespace="training")
    (text,) = (text for name, text in files.items() if name.endswith("prometheusrule.yaml"))
    assert yaml.safe_load(text)["spec"]["groups"][0]["rules"] == rules(chart)
