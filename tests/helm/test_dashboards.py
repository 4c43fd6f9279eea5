"""The dashboards of both charts: every query is valid, and names metrics that the pods serve."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from .charts import CHARTS, NAMES, smallest
from .promtool import promtool
from .test_alerts import SERVED

MONITORING = CHARTS.parent / "k8s" / "monitoring"
SUFFIX = re.compile(r"(?<=trainer_step_seconds)_(?:bucket|sum|count)$")
WIDTH = 24
"""Columns of a dashboard in Grafana."""


def dashboard(chart: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CHARTS / chart / "dashboards" / f"{chart}.json").read_text())
    return found


def queries(chart: str) -> Iterator[tuple[str, str]]:
    """The title of each panel with each of its queries, as Grafana sends them."""
    for panel in dashboard(chart)["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"].replace("$__rate_interval", "1m").replace("$job", "training/cars-1")
            yield panel["title"], text


@pytest.mark.fast
@pytest.mark.parametrize("chart", NAMES)
def test_queries_name_metrics_that_are_served(chart: str):
    used = set()
    for title, query in queries(chart):
        assert "$" not in query, title
        names = set(re.findall(r"\btrainer_\w+", query))
        selected = set(re.findall(r'(\w+)\{job="training/cars-1"', query))
        assert names == selected, f"{title}: each has the release's selector"
        used |= {SUFFIX.sub("", name) for name in names}
    assert used == SERVED[chart], "every metric has its place, and no other is named"
    (release,) = (v for v in dashboard(chart)["templating"]["list"] if v["name"] == "job")
    (metric,) = re.findall(r"^label_values\((\w+), job\)$", release["definition"])
    assert metric in SERVED[chart]
    assert release["query"]["query"] == release["definition"]


@pytest.mark.parametrize("chart", NAMES)
def test_prometheus_parses_every_query(chart: str, tmp_path: Path):
    rules = [{"record": f"query:{n}", "expr": query} for n, (_, query) in enumerate(queries(chart))]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert f"SUCCESS: {len(rules)} rules found" in promtool("check", "rules", tmp_path / "rules.yaml")


@pytest.mark.fast
@pytest.mark.parametrize("chart", NAMES)
def test_panels_explain_themselves_and_do_not_overlap(chart: str):
    taken: set[tuple[int, int]] = set()
    panels = dashboard(chart)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert max(x for x, _ in cells) < WIDTH
        assert not taken & cells, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"].endswith(".")
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}


@pytest.mark.fast
@pytest.mark.parametrize("chart", NAMES)
def test_grafana_finds_the_dashboard_by_its_label(chart: str):
    def maps(**values: Any) -> list[dict[str, Any]]:
        objects = smallest(chart, **values).objects
        return [
            o for o in objects if o["kind"] == "ConfigMap" and o["metadata"]["name"] == "cars-1-dashboard"
        ]

    assert not maps()
    annotations = {"grafana_folder": "Training"}
    (found,) = maps(dashboard={"enabled": True, "annotations": annotations, "labels": {"own": "yes"}})
    assert found["metadata"]["labels"].items() >= {"grafana_dashboard": "1", "own": "yes"}.items()
    assert found["metadata"]["annotations"] == annotations
    assert {name: json.loads(text) for name, text in found["data"].items()} == {
        f"{chart}.json": dashboard(chart)
    }


@pytest.mark.fast
def test_kustomize_has_the_same_dashboards():
    kustomization = yaml.safe_load((MONITORING / "kustomization.yaml").read_text())
    files = [name for made in kustomization["configMapGenerator"] for name in made["files"]]
    assert sorted(files) == sorted(f"{chart}.json" for chart in NAMES)
    assert kustomization["generatorOptions"]["labels"]["grafana_dashboard"] == "1"
    for chart in NAMES:
        assert json.loads((MONITORING / f"{chart}.json").read_text()) == dashboard(chart)


@pytest.mark.fast
@pytest.mark.parametrize("chart", NAMES)
def test_labels_that_are_no_labels_are_refused(chart: str):
    with pytest.raises(helm_python.HelmError, match=r"dashboard\.labels: expected keys such as"):
        smallest(chart, dashboard={"enabled": True, "labels": {"a b": "1"}})
