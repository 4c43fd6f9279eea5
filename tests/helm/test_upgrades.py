"""`helm upgrade` changes what a Job lets change, and refuses the rest before anything is sent."""

import re
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from .charts import CHARTS, NAMES, Rendered, least, read, render, scenario, smallest

REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    (
        "cars-train",
        {"run": {"train": {"batch_size": 32}}},
        {"run": {"train": {"batch_size": 64}}},
        "run.train.batch_size: expected 32, received 64",
    ),
    ("cars-train", {}, {"run": {"train": {"epochs": 5}}}, "run.train.epochs: expected no value, received 5"),
    ("cars-train", {}, {"run": {"run": {"grace": "2m"}}}, 'run.run.grace: expected "60s", received "2m"'),
    ("cars-train", {}, {"image": {"tag": "0.9"}}, 'image.tag: expected no value, received "0.9"'),
    ("cars-train", {}, {"gang": {"existingSecret": "mine"}}, "gang.existingSecret: expected no value"),
    ("cars-train", {}, {"backoffLimitPerIndex": 3}, "backoffLimitPerIndex: expected 20, received 3"),
    ("cars-train", {}, {"podLabels": {"team": "a"}}, 'podLabels.team: expected no value, received "a"'),
    ("cars-train", {}, {"resources": {"limits": {"memory": "9Gi"}}}, "resources.limits.memory: expected"),
    ("cars-predict", {}, {"batchSize": 8}, "batchSize: expected 64, received 8"),
    # Each pod predicts one of so many shares.
    ("cars-predict", {"workers": 2}, {"workers": 3}, "workers: expected 2, received 3"),
]


@pytest.mark.parametrize(("chart", "before", "after", "reason"), REFUSED, ids=lambda v: str(v)[:60])
def test_a_change_of_the_pods_is_refused_in_one_sentence(
    chart: str, before: dict[str, Any], after: dict[str, Any], reason: str
):
    installed = smallest(chart, **before)
    with pytest.raises(helm_python.HelmError) as refusal:
        upgrade(chart, installed, **after)
    said = str(refusal.value)
    assert reason in said
    assert "`kubectl -n training delete job cars-1` and repeat the upgrade" in said
    assert "\n" not in said
    assert len(said) < 400


def test_many_changes_are_counted_not_listed():
    changes = {"nodeSelector": dict.fromkeys("abcdefgh", "x")}
    with pytest.raises(helm_python.HelmError, match=r"nodeSelector\.c: expected no value.*; and 5 more"):
        upgrade("cars-train", smallest("cars-train"), **changes)


CHANGEABLE: list[dict[str, Any]] = [
    {"workers": 5},
    {"ttlSecondsAfterFinished": None},
    {"activeDeadlineSeconds": 100000},
    {"maxFailedIndexes": 1},
    {"jobLabels": {"team": "a"}},
    {"jobAnnotations": {"note": "a"}},
    {"serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/a"}}},
    {"podMonitor": {"enabled": True}},
    {"networkPolicy": {"enabled": True}},
]


@pytest.mark.parametrize("after", CHANGEABLE, ids=str)
def test_what_may_change_leaves_the_pods_and_their_configuration_as_they_are(after: dict[str, Any]):
    installed = smallest("cars-train")
    upgraded = upgrade("cars-train", installed, **after)
    assert fixed(upgraded) == fixed(installed)
    assert upgraded.config == installed.config


def test_the_number_of_pods_stands_apart_from_the_run():
    upgraded = upgrade("cars-train", smallest("cars-train"), workers=3)
    (workers,) = (o for o in upgraded.objects if o["kind"] == "ConfigMap" and o != upgraded.config)
    assert workers["metadata"]["name"] == "cars-1"
    assert workers["data"] == {"workers": "3"}
    assert upgraded.environment["TRAINER_PODS"]["valueFrom"]["configMapKeyRef"] == {
        "name": "cars-1",
        "key": "workers",
    }
    assert upgraded.job["spec"]["completions"] == upgraded.job["spec"]["parallelism"] == 3


def test_a_configuration_has_a_name_of_its_own_and_never_changes(rendered: Rendered):
    assert rendered.config["immutable"] is True
    assert re.fullmatch(r".+-[0-9a-f]{10}", rendered.config["metadata"]["name"])


@pytest.mark.parametrize(
    ("chart", "change"),
    [("cars-train", {"run": {"train": {"batch_size": 64}}}), ("cars-predict", {"batchSize": 8})],
)
def test_another_configuration_is_another_config_map(chart: str, change: dict[str, Any]):
    """Where nothing can be looked up, a Job still reads what it was created with."""
    assert smallest(chart).config["metadata"] != smallest(chart, **change).config["metadata"]


@pytest.mark.parametrize("values", [p for n in NAMES for p in (CHARTS / n / "ci").glob("*.yaml")], ids=str)
def test_an_upgrade_to_the_same_values_is_accepted(values: Path):
    installed = scenario(values)
    again = render(values.parents[1].name, read(values), live=[installed.job])
    assert fixed(again) == fixed(installed)


def test_the_same_number_written_in_another_way_is_no_change():
    """--reuse-values turns integers into floats."""
    written = {"train": {"seed": 1000000, "batch_size": 4096, "optimizer": {"learning_rate": 0.0001}}}
    stored = {"train": {"seed": 1000000.0, "batch_size": 4096.0, "optimizer": {"learning_rate": 1e-4}}}
    first, again = (smallest("cars-train", run=run, sharedMemory=1e9) for run in (written, stored))
    assert first.config == again.config
    assert upgrade("cars-train", first, run=stored, sharedMemory=1000000000).config == first.config
    assert yaml.safe_load(first.config["data"]["run.yaml"])["train"]["seed"] == 1000000
    assert first.pod["volumes"][2]["emptyDir"]["sizeLimit"] == 1000000000


def test_another_version_of_the_chart_that_makes_other_pods_says_so():
    installed = smallest("cars-train")
    installed.job["metadata"]["annotations"]["cars-trainer/fixed"] = "made by another version"
    with pytest.raises(helm_python.HelmError, match="expected the version of cars-train that Job cars-1 was"):
        upgrade("cars-train", installed)


def test_when_the_job_is_gone_an_upgrade_may_change_everything():
    """After ttlSecondsAfterFinished, or `kubectl delete job`."""
    upgraded = render("cars-train", least("cars-train", run={"train": {"batch_size": 64}}), live=[])
    assert yaml.safe_load(upgraded.config["data"]["run.yaml"])["train"]["batch_size"] == 64


@pytest.mark.parametrize("chart", NAMES)
@pytest.mark.parametrize("now", [True, False])
def test_a_job_stays_suspended_or_resumed_over_an_upgrade(chart: str, now: bool):
    installed = smallest(chart, suspend=True)
    assert installed.job["spec"]["suspend"] is True
    installed.job["spec"]["suspend"] = now
    assert upgrade(chart, installed, suspend=True).job["spec"]["suspend"] is now


@pytest.mark.parametrize("chart", NAMES)
def test_a_job_that_started_at_once_is_left_to_its_queue(chart: str):
    """A field that is not sent is not changed, by an upgrade, a rollback or a tool without lookup."""
    installed = smallest(chart)
    assert "suspend" not in installed.job["spec"]
    installed.job["spec"]["suspend"] = True
    assert "suspend" not in upgrade(chart, installed).job["spec"]


def test_the_gangs_key_is_made_once():
    first, second = smallest("cars-train"), smallest("cars-train")
    assert first["Secret"] != second["Secret"]
    kept = render("cars-train", least("cars-train", workers=2), live=[first.job, first["Secret"]])
    assert kept["Secret"] == first["Secret"]


@pytest.mark.parametrize(
    ("chart", "change"),
    [
        ("cars-train", {"run": {"train": {"batch_size": 64}}}),
        ("cars-train", {"restartInPod": False}),
        ("cars-train", {"image": {"tag": "0.9"}}),
        ("cars-predict", {"batchSize": 8}),
        ("cars-predict", {"workers": 2}),
    ],
    ids=str,
)
def test_other_pods_are_another_job_where_that_is_wanted(chart: str, change: dict[str, Any]):
    """Helm creates it and deletes the other one, in an upgrade as in a rollback."""
    policy = {"upgradePolicy": "recreate"}
    first, second = smallest(chart, **policy), upgrade(chart, smallest(chart, **policy), **policy, **change)
    names = [one.job["metadata"]["name"] for one in (first, second)]
    assert all(re.fullmatch(r"cars-1-[0-9a-f]{8}", name) for name in names)
    assert len(set(names)) == 2
    assert second.environment["TRAINER_JOB"]["value"] == names[1]
    assert f"job/{names[1]}" in second.notes
    assert smallest(chart, **policy, **change).job["metadata"]["name"] == names[1], "also without a Job"
    if chart == "cars-train":
        assert second.environment["TRAINER_COORDINATOR"]["value"] == f"{names[1]}-0.cars-1"
        assert second["Role"]["rules"][0]["resourceNames"] == [names[1]]


@pytest.mark.parametrize("change", [*CHANGEABLE, {"podDisruptionBudget": {"enabled": True}}], ids=str)
def test_what_may_change_stays_in_the_same_job(change: dict[str, Any]):
    policy = {"upgradePolicy": "recreate"}
    installed = smallest("cars-train", **policy)
    assert (
        upgrade("cars-train", installed, **policy, **change).job["metadata"]["name"]
        == (installed.job["metadata"]["name"])
    )


def test_the_name_of_a_job_is_the_same_on_every_version_of_kubernetes():
    values = least("cars-train", upgradePolicy="recreate")
    old, new = (render("cars-train", values, kubernetes=version) for version in ("v1.34.0", "v1.36.0"))
    assert old.job["metadata"]["name"] == new.job["metadata"]["name"]
    assert fixed(old) != fixed(new)
    kept = render("cars-train", values, live=[old.job], kubernetes="v1.36.0")
    assert fixed(kept) == fixed(old)


@pytest.mark.parametrize("release", ["a" * 53, "my.release"])
def test_a_long_name_leaves_room_for_the_hash(release: str):
    job = render(
        "cars-train", least("cars-train", upgradePolicy="recreate", workers=9999), release=release
    ).job
    assert len(f"{job['metadata']['name']}-9999") <= 63


def upgrade(chart: str, installed: Rendered, **after: Any) -> Rendered:
    return render(chart, least(chart, **after), live=[installed.job])


def fixed(rendered: Rendered) -> list[Any]:
    """The part of a Job that Kubernetes lets nobody change."""
    spec = rendered.job["spec"]
    return [spec[key] for key in ("template", "completionMode", "backoffLimitPerIndex", "podFailurePolicy")]
