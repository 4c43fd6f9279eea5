"""Before a rollback: what the API server would refuse is refused in one sentence, and nothing else."""

import json
import sys
from typing import Any

import pytest

from tests.helm.charts import least, render
from trainer.cluster import rollback
from trainer.errors import ConfigError

pytestmark = pytest.mark.fast


def job(chart: str = "cars-train", **changes: Any) -> dict[str, Any]:
    """The Job of a release with these values, as the API gives it."""
    found = render(chart, least(chart, **changes)).job
    found["metadata"]["namespace"] = "training"
    return found


def check(live: dict[str, Any], target: dict[str, Any]) -> None:
    """A rollback over the Job `live`, to the revision that `target` is of."""
    annotations = target["metadata"]["annotations"]
    rollback.check_rollback(live, annotations[rollback.FIXED], json.loads(annotations[rollback.VALUES]))


@pytest.mark.parametrize(
    ("chart", "live", "target", "said"),
    [
        (
            "cars-train",
            {"run": {"train": {"batch_size": 64}}},
            {"run": {"train": {"batch_size": 32}}},
            "run.train.batch_size: 64 now, 32 before",
        ),
        ("cars-train", {"image": {"tag": "2"}}, {}, 'image.tag: "2" now, no value before'),
        ("cars-predict", {"workers": 2}, {"workers": 3}, "workers: 2 now, 3 before"),
        (
            "cars-predict",
            {"input": ["s3://b/1", "s3://b/2"]},
            {"input": ["s3://b/1"]},
            'input: "2 images, sha256:',
        ),
    ],
)
def test_other_pods_are_refused_and_the_value_is_named(
    chart: str, live: dict[str, Any], target: dict[str, Any], said: str
):
    with pytest.raises(ConfigError) as refusal:
        check(job(chart, **live), job(chart, **target))
    text = str(refusal.value)
    assert text.startswith(said)
    assert "nothing was rolled back). Run `kubectl -n training delete job cars-1` and repeat" in text
    assert len(text) < 300


def test_many_changes_are_counted():
    with pytest.raises(ConfigError, match=r"nodeSelector\.c: no value now, \"x\" before; and 5 more"):
        check(job(), job(nodeSelector=dict.fromkeys("abcdefgh", "x")))


@pytest.mark.parametrize(
    "target", [{"workers": 3}, {"ttlSecondsAfterFinished": 9}, {"podMonitor": {"enabled": True}}], ids=str
)
def test_what_may_change_may_be_rolled_back(target: dict[str, Any]):
    check(job(), job(**target))


def test_a_failed_job_is_not_started_by_a_rollback():
    live = job()
    live["status"] = {"conditions": [{"type": "Failed", "status": "True", "message": "exit code 64"}]}
    with pytest.raises(ConfigError, match=r"Job cars-1 has failed \(exit code 64\), and a rollback does not"):
        check(live, live)


@pytest.mark.parametrize("chart", ["cars-train", "cars-predict"])
def test_the_job_before_a_rollback_compares_with_its_own_revision(
    chart: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    installed = render(chart, least(chart))
    role, binding, hook = (o for o in installed.hooks if o["metadata"]["name"] == "cars-1-rollback")
    assert role["rules"][0] == {
        "apiGroups": ["batch"],
        "resources": ["jobs"],
        "resourceNames": ["cars-1"],
        "verbs": ["get"],
    }
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    (container,) = hook["spec"]["template"]["spec"]["containers"]
    python, *command = container["command"]
    assert (python, *command[:2]) == ("python", "-m", rollback.__name__)
    monkeypatch.setattr(sys, "argv", command[1:])
    for live, code in ((job(chart), None), (None, None), (job(chart, image={"tag": "2"}), 64)):
        monkeypatch.setattr(rollback, "_read", lambda *_, live=live: live)
        if code is None:
            rollback.main()
            continue
        with pytest.raises(SystemExit) as ended:
            rollback.main()
        assert ended.value.code == code
        assert capsys.readouterr().err.startswith('trainer: error: image.tag: "2" now, no value before')


@pytest.mark.parametrize("values", [{"upgradePolicy": "recreate"}, {"rollbackCheck": False}], ids=str)
def test_there_is_no_check_where_it_is_not_needed_or_not_wanted(values: dict[str, Any]):
    hooks = render("cars-train", least("cars-train", **values)).hooks
    assert {hook["metadata"]["annotations"]["helm.sh/hook"] for hook in hooks} == {"test"}


def test_a_long_list_of_images_stays_out_of_the_jobs_annotations():
    """All annotations of an object may have 256 KiB."""
    found = job("cars-predict", input=[f"s3://bucket/{number}.jpg" for number in range(30_000)])
    assert len(json.dumps(found["metadata"]["annotations"])) < 10_000
