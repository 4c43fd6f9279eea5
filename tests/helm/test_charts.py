"""The charts install as they are: linted strictly, valid for every Kubernetes they name."""

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import helm_python
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from trainer import __version__
from trainer.config import parse
from trainer.config.load import recipes
from trainer.inference.config import parse as parse_prediction

from .charts import CHARTS, NAMES, SCENARIOS, Rendered, merged, read, render, scenario, smallest

OF_THE_OPERATOR = ("PodMonitor", "PrometheusRule")
"""Kinds of the Prometheus Operator, which Kubernetes's own schemas do not have."""
KUBERNETES = ("1.31", "1.32", "1.33", "1.34", "1.35", "1.36")


@pytest.mark.parametrize("chart", NAMES)
def test_charts_pass_helms_strict_lint_as_they_are(chart: str):
    found = helm_python.lint(CHARTS / chart, strict=True)
    assert found["errors"] == []
    assert [m for m in found["messages"] if m["severity"] > 1] == []


@pytest.mark.parametrize("values", SCENARIOS, ids=lambda p: p.name)
def test_charts_pass_helms_strict_lint_with_every_scenario(values: Path):
    assert helm_python.lint(values.parents[1], read(values), strict=True)["errors"] == []


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("values", SCENARIOS, ids=lambda p: f"{p.parents[1].name}-{p.stem}")
def test_manifests_are_valid_for_kubernetes(values: Path, version: str):
    rendered = scenario(values, f"v{version}.0")
    for document in (*rendered.objects, *rendered.hooks):
        if document["kind"] not in OF_THE_OPERATOR:
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("chart", NAMES)
def test_charts_and_package_are_of_one_version(chart: str):
    metadata = read(CHARTS / chart / "Chart.yaml")
    assert metadata["version"] == metadata["appVersion"] == __version__
    assert smallest(chart).container["image"] == f"cars-trainer:{__version__}"


@pytest.mark.parametrize("chart", NAMES)
def test_a_packaged_chart_needs_nothing_beside_it(chart: str, tmp_path: Path):
    helm_python.package(CHARTS / chart, destination=tmp_path)
    (archive,) = tmp_path.glob("*.tgz")
    values = read(CHARTS / chart / "ci" / "smallest-values.yaml")
    with helm_python.Chart.load(archive) as loaded:
        assert loaded.render(values, name="cars-1", namespace="training")


def test_the_run_reaches_the_trainer_as_it_was_given():
    for path in (CHARTS / "cars-train" / "ci").glob("*.yaml"):
        rendered = scenario(path)
        run = yaml.safe_load(rendered.config["data"]["run.yaml"])
        given = read(path)["run"]
        assert merged(run, given) == run
        values = {**run}
        recipe = yaml.safe_load(recipes()[values.pop("recipe")])
        parsed = parse(merged(recipe, values))
        assert parsed.run.url == given["run"]["url"]
        assert rendered.pod["terminationGracePeriodSeconds"] == parsed.run.grace + 5
        assert rendered.container["ports"][0]["containerPort"] == parsed.metrics.port


def test_predictions_reach_the_trainer_as_they_were_asked_for():
    rendered = smallest("cars-predict", batchSize=7, partSize=300, maxBadFraction=0.25, weights="last")
    asked = parse_prediction(yaml.safe_load(rendered.config["data"]["predict.yaml"]))
    assert (asked.input, asked.run) == ("s3://bucket/photos/", "s3://bucket/runs/lab-1")
    assert (asked.batch_size, asked.part_size, asked.max_bad_fraction) == (7, 300, 0.25)
    assert asked.weights == "last"


def test_predictions_serve_their_metrics_without_probes():
    rendered = smallest(
        "cars-predict", metrics={"port": 9191}, podMonitor={"enabled": True, "interval": "30s"}
    )
    (container,) = rendered["Job"]["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": "metrics", "containerPort": 9191}]
    assert not {"readinessProbe", "startupProbe", "livenessProbe"} & container.keys()
    assert rendered["PodMonitor"]["spec"]["podMetricsEndpoints"] == [{"port": "metrics", "interval": "30s"}]
    written = yaml.safe_load(rendered.config["data"]["predict.yaml"])
    assert parse_prediction(written).metrics.port == 9191


def test_predictions_have_the_trainers_own_defaults():
    written = yaml.safe_load(smallest("cars-predict").config["data"]["predict.yaml"])
    required = {key: written[key] for key in ("run", "input", "output")} | {"metrics": {"port": 9090}}
    assert parse_prediction(written) == parse_prediction(required)


def test_the_pods_find_each_other_and_their_place():
    rendered = smallest("cars-train", workers=3)
    environment = rendered.environment
    assert rendered.job["metadata"]["name"] == "cars-1"
    assert environment["TRAINER_COORDINATOR"]["value"] == "cars-1-0.cars-1"
    assert rendered.pod["subdomain"] == rendered["Service"]["metadata"]["name"] == "cars-1"
    labels = rendered.job["spec"]["template"]["metadata"]["labels"]
    assert rendered["Service"]["spec"]["selector"].items() <= labels.items()
    assert rendered["Service"]["spec"]["publishNotReadyAddresses"] is True
    assert rendered.job["spec"]["completions"] == rendered.job["spec"]["parallelism"] == 3


def test_no_index_may_fail_where_the_others_would_wait_for_it():
    assert smallest("cars-train", workers=9).job["spec"]["maxFailedIndexes"] == 0


def test_predictions_go_on_without_a_failing_index():
    """Kubernetes refuses a Job whose maxFailedIndexes exceeds its completions."""
    assert smallest("cars-predict", workers=9).job["spec"]["maxFailedIndexes"] == 2
    assert smallest("cars-predict", workers=1).job["spec"]["maxFailedIndexes"] == 1


def test_predictions_are_done_when_one_pod_says_so_and_a_lost_one_cannot():
    rules = {"rules": [{"succeededCount": 1}]}
    assert smallest("cars-predict", workers=9).job["spec"]["successPolicy"] == rules
    assert "successPolicy" not in smallest("cars-train").job["spec"], "there all ranks leave together"


def test_pods_know_their_job_and_nothing_that_no_one_reads():
    for chart in NAMES:
        environment = smallest(chart).environment
        assert environment["TRAINER_JOB_UID"]["valueFrom"] == {
            "fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/controller-uid']"}
        }
        assert not {"TRAINER_POD_NAME", "TRAINER_NODE_NAME"} & environment.keys()


def test_exit_codes_mean_what_the_trainer_means(rendered: Rendered):
    rules = rendered.job["spec"]["podFailurePolicy"]["rules"]
    by_code = {tuple(r["onExitCodes"]["values"]): r["action"] for r in rules if "onExitCodes" in r}
    assert by_code == {(64,): "FailJob", (75,): "Ignore"}
    assert [r["action"] for r in rules if "onPodConditions" in r] == ["Ignore"]
    assert rendered.pod["restartPolicy"] == "Never"
    assert rendered.job["spec"]["podReplacementPolicy"] == "Failed"


def test_the_kubelet_asks_whether_the_supervisor_lives():
    container = smallest("cars-train").container
    alive = {"path": "/healthz", "port": "metrics"}
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == alive
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    start = container["startupProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] >= 600, "the store may be down at the start"
    assert "livenessProbe" not in smallest("cars-predict").container, "it serves no endpoint"


@pytest.mark.parametrize(
    ("written", "seconds"), [("30s", 35), ("2m", 125), (45, 50), ("1.5m", 95), ("0.4s", 6)]
)
def test_the_grace_period_follows_from_the_run(written: str | int, seconds: int):
    rendered = smallest("cars-train", run={"run": {"grace": written}})
    assert rendered.pod["terminationGracePeriodSeconds"] == seconds


def test_gpus_are_asked_for_by_number():
    limits = smallest("cars-train", gpu={"perPod": 4}).container["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == 4
    assert "nvidia.com/gpu" not in smallest("cars-train").container["resources"]["limits"]


def test_ranks_are_one_a_gpu_unless_their_number_is_given():
    assert smallest("cars-train").container["args"] == ["supervise", "--config", "/etc/cars-trainer/run.yaml"]
    assert smallest("cars-train", ranksPerPod=2).container["args"][-2:] == ["--ranks", "2"]


def test_a_scrape_comes_before_a_finished_pod_goes():
    with pytest.raises(helm_python.HelmError, match="expected more than podMonitor"):
        smallest("cars-train", podMonitor={"enabled": True, "interval": "1m"})
    assert smallest("cars-train", podMonitor={"enabled": True})["PodMonitor"]["spec"]["podMetricsEndpoints"]


def test_the_notes_give_this_releases_commands():
    notes = scenario(CHARTS / "cars-train" / "ci" / "development-values.yaml").notes
    assert "kubectl -n training logs -f job/cars-1" in notes
    assert "batch.kubernetes.io/job-name=cars-1,batch.kubernetes.io/job-completion-index=0" in notes
    assert "trainer status cars-1 -n training" in notes
    assert (
        "aws s3 cp s3://cars/runs/digits/weights/best.weights.h5 . --endpoint-url http://localhost:7070"
        in notes
    )
    assert "port-forward svc/s3 7070" in notes


@pytest.mark.parametrize("chart", NAMES)
def test_every_value_is_explained(chart: str):
    lines = (CHARTS / chart / "values.yaml").read_text().splitlines()
    for before, line in itertools.pairwise(lines):
        key = re.match(r"\s*[A-Za-z]+:\s*(\S.*)?$", line)
        if key and key[1] is not None:
            assert before.lstrip().startswith("# -- "), (
                f"{chart}/values.yaml: {line.strip()} has no '# --' above it"
            )


def test_shared_values_mean_the_same_in_both_charts():
    predict, train = ((CHARTS / name / "values.yaml").read_text() for name in NAMES)
    shared = predict[predict.index("\nimage:\n") :]
    assert shared in train
    first, second = (json.loads((CHARTS / name / "values.schema.json").read_text()) for name in NAMES)
    assert first["definitions"] == second["definitions"]


def test_the_run_s_cache_has_a_volume():
    values = yaml.safe_load((CHARTS / "cars-train" / "ci" / "smallest-values.yaml").read_text())
    assert "cache" not in [volume["name"] for volume in render("cars-train", values).pod["volumes"]]
    values["run"]["data"]["cache"] = {"path": "/cache", "max_bytes": "50Gi"}
    values["cacheVolume"] = {"hostPath": {"path": "/mnt/nvme"}}
    rendered = render("cars-train", values)
    assert {"name": "cache", "mountPath": "/cache"} in rendered.container["volumeMounts"]
    assert {"name": "cache", "hostPath": {"path": "/mnt/nvme"}} in rendered.pod["volumes"]


@pytest.mark.parametrize("chart", NAMES)
def test_every_value_is_in_the_schema(chart: str):
    schema = json.loads((CHARTS / chart / "values.schema.json").read_text())
    assert schema["additionalProperties"] is False
    assert set(read(CHARTS / chart / "values.yaml")) == set(schema["properties"]) - {"global"}


def test_both_charts_hold_the_same_helpers_as_real_files():
    """A link is lost where a system or a tool does not support it."""
    assert not [path for path in CHARTS.rglob("*") if path.is_symlink()]
    first, second = ((CHARTS / name / "templates" / "_cars.tpl").read_text() for name in NAMES)
    assert first == second
    assert sorted(path.name for path in CHARTS.iterdir()) == list(NAMES)


@pytest.mark.parametrize(("chart", "key"), [("cars-train", "recipe:"), ("cars-predict", "input:")])
def test_the_values_that_the_readme_shows_install(chart: str, key: str):
    readme = (CHARTS.parent / "README.md").read_text()
    (block,) = (found for found in re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL) if key in found)
    values = yaml.safe_load(block)
    rendered = render(chart, values)
    assert rendered.job["spec"]["completions"] == values["workers"]
    if gpus := values.get("gpu", {}).get("perPod"):
        resources = rendered.container["resources"]
        assert int(resources["requests"]["cpu"]) == 4 * gpus, "GPUs that wait for their images are starved"
        assert resources["requests"]["memory"] == f"{16 * gpus}Gi"
        assert "cpu" not in resources["limits"]


FINDINGS = read(Path(__file__).with_name("kube-score.yaml"))


def manifests() -> str:
    """All objects of all scenarios, each scenario in a namespace of its own."""
    return yaml.safe_dump_all(
        {**item, "metadata": {**item["metadata"], "namespace": f"scenario-{number}"}}
        for number, rendered in enumerate(map(scenario, SCENARIOS))
        for item in (*rendered.objects, *rendered.hooks)
        if item["kind"] not in OF_THE_OPERATOR
    )


def kube_score(text: str) -> Iterator[str]:
    """The checks that find something."""
    command = ["kube-score", "score", "-", "--output-format", "json"]
    said = subprocess.run(command, input=text, capture_output=True, text=True).stdout
    for found in json.loads(said):
        yield from (c["check"]["id"] for c in found["checks"] if not c["skipped"] and c["grade"] < 10)


def test_every_finding_has_an_answer_and_every_answer_a_finding():
    if not shutil.which("kube-score"):
        pytest.skip("kube-score is not on the PATH")
    assert set(kube_score(manifests())) == FINDINGS.keys()


def test_every_answer_gives_a_reason():
    assert all(len(reason) > 40 for reason in FINDINGS.values())
