"""`trainer status` says what a release does, what it waits for, and what is missing to know it."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.documents import assert_document
from trainer.cluster import commands
from trainer.cluster.release_status import EndedRelease, ReleaseStatus
from trainer.errors import EXIT_INTERRUPTED, EXIT_INVALID, ConfigError, TransientError
from trainer.runs import layout
from trainer.runs.run_document import Reached, RunResult
from trainer.storage import open_store

from .fake import FakeCluster, dark, ended, job, pod

METRICS = """\
# TYPE trainer_step gauge
trainer_step{rank="0"} 300
trainer_step{rank="1"} 300
# TYPE trainer_total_steps gauge
trainer_total_steps{rank="0"} 1200
# TYPE trainer_epoch gauge
trainer_epoch{rank="0"} 2
# TYPE trainer_world_size gauge
trainer_world_size{rank="0"} 4
# TYPE trainer_generation gauge
trainer_generation{rank="0"} 3
# TYPE trainer_loss gauge
trainer_loss{rank="0"} 0.5
# TYPE trainer_images_total counter
trainer_images_total{rank="0"} 9600
trainer_images_total{rank="1"} 9600
# TYPE trainer_step_seconds histogram
trainer_step_seconds_sum{rank="0"} 50
trainer_step_seconds_count{rank="0"} 300
trainer_step_seconds_sum{rank="1"} 50
trainer_step_seconds_count{rank="1"} 300
# TYPE trainer_data_wait_seconds_total counter
trainer_data_wait_seconds_total{rank="0"} 10
trainer_data_wait_seconds_total{rank="1"} 10
# TYPE trainer_last_checkpoint_step gauge
trainer_last_checkpoint_step{rank="0"} 250
"""


def training(cluster: FakeCluster) -> None:
    """Two pods of two ranks, both training."""
    cluster.jobs, cluster.pods = [job()], [pod(0), pod(1)]
    cluster.config_maps = {"cars-1-1234": {"run.yaml": "run: {url: s3://bucket/runs/cars-1}\n"}}
    cluster.answers = {
        ("cars-1-0-a", "/metrics"): (200, METRICS + _checkpoint()),
        ("cars-1-0-a", "/readyz"): (200, "ok\n"),
    }


def _checkpoint() -> str:
    return f'trainer_last_checkpoint_timestamp_seconds{{rank="0"}} {time.time() - 42}\n'


def warning(kind: str, name: str, message: str) -> dict[str, Any]:
    """A Warning event as the API gives it."""
    return {
        "involvedObject": {"kind": kind, "name": name},
        "message": message,
        "lastTimestamp": "2026-11-20T12:00:01Z",
    }


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_a_run_that_trains(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]):
    training(cluster)
    commands.status("cars-1")
    text = said(capsys)
    assert "2 of 2 pods ready" in text
    assert "s3://bucket/runs/cars-1" in text
    # 19 200 images of two of four ranks in 60 s; 900 steps at 0.2 s.
    assert "epoch 3, step 300 of 1,200 (25 %), 640 images/s, about 3 min left" in text
    assert "loss 0.5" in text
    assert re.search(r"step 250, 4\d s ago", text)
    assert "4 ranks, generation 3" in text
    assert "waiting for" not in text


def test_the_same_for_scripts(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]):
    training(cluster)
    commands.status("cars-1", as_json=True)
    found = json.loads(said(capsys))
    assert_document(found, ReleaseStatus)
    assert found["state"] == "running"
    assert found["progress"]["step"] == 300
    assert found["progress"]["images_per_second"] == 640
    assert [p["node"] for p in found["pods"]] == ["node-1", "node-1"]


def test_every_release_of_the_namespace(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]):
    cluster.jobs = [job("cars-1", Complete=""), job("names", chart="cars-predict", Complete="")]
    commands.status()
    assert [line.split()[0] for line in said(capsys).splitlines() if "finished" in line] == [
        "cars-1",
        "names",
    ]


def test_of_two_jobs_the_newer_one_is_shown(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]):
    """While an upgrade or a rollback replaces a Job (upgradePolicy recreate)."""
    old, new = job(), job()
    old["metadata"] |= {"name": "cars-1-1a2b3c4d", "creationTimestamp": "2026-11-19T12:00:00Z"}
    new["metadata"] |= {"name": "cars-1-9f8e7d6c"}
    for jobs in ([old, new], [new, old]):
        cluster.jobs = jobs
        commands.status("cars-1", as_json=True)
        assert json.loads(capsys.readouterr().out)["job"] == "cars-1-9f8e7d6c"


def test_a_gang_that_waits_says_so_in_its_own_words(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]):
    training(cluster)
    cluster.answers["cars-1-0-a", "/readyz"] = (503, "waiting for pod 1, which is silent for 8 s\n")
    commands.status("cars-1")
    assert "now         waiting for pod 1, which is silent for 8 s" in said(capsys)


def test_a_pod_that_does_not_answer_hides_no_progress(
    cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
):
    """Its node went dark, and the API server does not know it yet: it says that the pod is ready."""
    training(cluster)
    cluster.answers = {
        ("cars-1-1-a", path): cluster.answers["cars-1-0-a", path] for path in ("/metrics", "/readyz")
    }
    commands.status("cars-1")
    text = said(capsys)
    assert "step 300 of 1,200" in text
    assert "waiting for pod 0: does not answer (connection refused)" in text


def test_a_trainer_that_has_ended_is_not_asked_while_sidecars_end(
    cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
):
    training(cluster)
    cluster.answers = {}
    cluster.pods = [pod(0, state=ended(0, reason="Completed"), ready=False)]
    commands.status("cars-1")
    assert "no metrics" not in said(capsys)


def test_when_no_pod_answers_the_first_is_named(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]):
    training(cluster)
    cluster.answers = {}
    commands.status("cars-1")
    assert "now         no metrics from cars-1-0-a: connection refused" in said(capsys)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((503, "1 rank still loading TensorFlow and the run\n"), "pod 1: 1 rank still loading TensorFlow"),
        ((0, ""), "pod 1: its supervisor starts"),
    ],
)
def test_a_pod_that_runs_and_does_not_train_yet_says_why(
    cluster: FakeCluster, capsys: pytest.CaptureFixture[str], answer: tuple[int, str], words: str
):
    training(cluster)
    cluster.pods = [pod(0), pod(1, ready=False)]
    cluster.answers["cars-1-1-a", "/readyz"] = answer
    commands.status("cars-1")
    text = said(capsys)
    assert "step 300 of 1,200" in text
    assert f"waiting for {words}" in text


@pytest.mark.parametrize(
    ("waiting", "words"),
    [
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes: no GPU"}]},
            "pod 1: not scheduled: 0/3 nodes: no GPU",
        ),
        (
            {"state": {"waiting": {"reason": "ErrImagePull", "message": "no image x:1"}}},
            "pod 1: cannot start: ErrImagePull: no image x:1",
        ),
        ({"state": {"waiting": {"reason": "ContainerCreating"}}}, "pod 1: starting"),
    ],
)  # fmt: skip
def test_a_pod_that_does_not_start_is_named_with_its_reason(
    cluster: FakeCluster, capsys: pytest.CaptureFixture[str], waiting: dict[str, Any], words: str
):
    training(cluster)
    cluster.pods = [pod(0), pod(1, "Pending", ready=False, **waiting)]
    commands.status("cars-1")
    assert f"waiting for {words}" in said(capsys)


def test_pods_that_are_going_or_gone_are_named(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]):
    training(cluster)
    drained = [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]
    cluster.jobs = [job(wanted=5)]
    cluster.pods = [
        pod(0, leaving=True, conditions=drained),
        pod(1, conditions=dark()),
        pod(2, "Failed", state=ended(1, "Traceback\nMemoryError\n")),
        pod(3, "Failed", state=ended(75)),
    ]
    commands.status("cars-1")
    text = said(capsys)
    assert "pod 0: terminating (EvictionByEvictionAPI)" in text
    assert "pod 1: its node does not respond" in text
    assert "pod 2: ended with exit code 1: MemoryError" in text
    assert "pod 3: stopped, and will resume" in text
    assert "pod 4: not created yet" in text


def test_pods_that_are_refused_are_said_in_the_clusters_words(
    cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
):
    cluster.jobs = [job(wanted=1)]
    cluster.events = [warning("Job", "cars-1", "pods is forbidden: exceeded quota")]
    commands.status("cars-1")
    assert "pod 0: not created yet (pods is forbidden: exceeded quota" in said(capsys)


def test_many_pods_that_are_not_there_are_one_line(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]):
    training(cluster)
    cluster.jobs, cluster.pods = [job(wanted=9)], [pod(0), pod(1), pod(4)]
    cluster.events = [warning("Job", "cars-1", "exceeded quota")]
    commands.status("cars-1")
    text = said(capsys)
    assert "waiting for pods 2, 3, 5 to 8: not created yet (exceeded quota)" in text
    assert text.count("exceeded quota") == 1


def test_a_finished_run_says_where_its_weights_are(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]):
    training(cluster)
    cluster.jobs, cluster.pods = [job(Complete="")], [pod(0, "Succeeded"), pod(1, "Succeeded")]
    commands.status("cars-1")
    assert "weights     s3://bucket/runs/cars-1/weights/best.weights.h5" in said(capsys)


def test_without_the_right_to_ask_pods_the_rest_is_told(
    cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
):
    training(cluster)
    cluster.forbidden = {"pods/proxy", "configmaps"}
    commands.status("cars-1")
    text = said(capsys)
    assert "2 of 2 pods ready" in text
    assert 'now         no metrics from cars-1-0-a: pods/proxy is forbidden: User "me"' in text


def test_watching_ends_with_the_run(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]):
    training(cluster)
    cluster.steps = [lambda: None, lambda: None, lambda: cluster.jobs.__setitem__(0, job(Complete=""))]
    commands.status("cars-1", watch=True)
    text = said(capsys)
    assert "running" in text
    assert text.rstrip().splitlines()[0].startswith("cars-1 (cars-train in training)")
    assert "finished" in text


def test_waiting_gives_the_trainers_exit_code(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]):
    cluster.jobs = [job(Complete="")]
    assert commands.wait("cars-1") == 0
    cluster.jobs = [job(Failed="matching FailJob rule")]
    cluster.pods = [pod(0, "Failed", state=ended(EXIT_INVALID, "trainer: error: data.url is missing"))]
    assert commands.wait("cars-1") == EXIT_INVALID
    assert "pod 0 ended with exit code 64: trainer: error: data.url is missing" in said(capsys)
    assert commands.wait("cars-1", as_json=True) == EXIT_INVALID
    end = json.loads(capsys.readouterr().out)
    assert_document(end, EndedRelease)
    assert (end["release"], end["state"], end["exit_code"]) == ("cars-1", "failed", EXIT_INVALID)
    cluster.pods = [pod(0, "Failed", state=ended(137))]
    assert commands.wait("cars-1") == 1


def test_waiting_ends_in_time(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]):
    training(cluster)
    assert commands.wait("cars-1", timeout=0) == EXIT_INTERRUPTED
    assert "cars-1 is still running" in capsys.readouterr().err


def test_a_release_leads_to_its_run(cluster: FakeCluster):
    training(cluster)
    assert commands.run_url("cars-1") == "s3://bucket/runs/cars-1"


def test_a_release_whose_job_is_gone_still_leads_to_its_run(
    cluster: FakeCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """As after ttlSecondsAfterFinished: the Job and its pods are deleted, the ConfigMap stays."""
    run = f"{tmp_path}/run"
    cluster.config_maps = {"cars-1-1234": {"run.yaml": f"run: {{url: {run}}}\n"}}
    assert commands.run_url("cars-1") == run
    for command in (commands.status, commands.logs, commands.wait):
        with pytest.raises(
            ConfigError, match=r"release 'cars-1' has no Job: it was deleted.*trainer weights"
        ):
            command("cars-1")
    finished = RunResult(epochs=3, steps=30, stopped_early=False, last=Reached(3, {}))
    open_store(run).put(layout.FINISHED, finished.dumps())
    assert commands.wait("cars-1") == 0
    assert f"cars-1 finished: 3 epochs, 30 steps, at {run}" in said(capsys)


def test_a_release_that_is_not_there(cluster: FakeCluster):
    cluster.jobs = [job("cars-2")]
    with pytest.raises(
        ConfigError, match=r"release 'cars-1' not found in namespace 'training'.*Existing releases: cars-2"
    ):
        commands.status("cars-1")


def test_a_namespace_that_is_not_there(cluster: FakeCluster):
    with pytest.raises(ConfigError, match="namespace 'trainign' not found in context 'tests'"):
        commands.status("cars-1", "trainign")


def test_a_missing_right_is_named(cluster: FakeCluster):
    cluster.forbidden = {"jobs"}
    with pytest.raises(
        ConfigError, match=r"jobs is forbidden: User .* kubectl auth can-i list jobs -n training"
    ):
        commands.status("cars-1")


def test_a_cluster_that_does_not_answer(cluster: FakeCluster, tmp_path, monkeypatch):
    text = (tmp_path / "kubeconfig").read_text()
    (tmp_path / "dead").write_text(text.replace(text.split("127.0.0.1:")[1].split("\n")[0], "1"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "dead"))
    with pytest.raises(
        TransientError, match=r"the cluster at http://127.0.0.1:1 \(context 'tests'\) does not respond"
    ):
        commands.status("cars-1")


def test_no_cluster_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigError, match=r"no cluster configured: .* Set KUBECONFIG"):
        commands.status("cars-1")
