"""What is wrong with a release is said once, with its cause, and without one that nobody knows."""

from typing import Any

import pytest

from trainer.cluster import commands
from trainer.errors import EXIT_INTERRUPTED, EXIT_INVALID, ConfigError, TransientError

from .fake import FakeCluster, dark, ended, job, pod
from .test_status import said, training, warning

EVICTED = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}


def test_a_pod_on_a_lost_node_is_not_ready_and_shows_no_rate(
    cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
):
    """Its container's status stays as the kubelet left it, and so do the metrics of the other pods."""
    training(cluster)
    cluster.pods = [pod(0), pod(1, conditions=dark())]
    cluster.answers["cars-1-0-a", "/readyz"] = (503, "waiting for pod 1, which is silent for 8 s\n")
    commands.status("cars-1")
    text = said(capsys)
    assert "1 of 2 pods ready" in text
    assert "waiting for pod 1: its node does not respond" in text
    assert "step 300 of 1,200" in text
    assert "images/s" not in text
    assert "left" not in text
    assert [line.split()[3] for line in text.splitlines() if "cars-1-1-a" in line] == ["no"]


def test_the_metrics_are_those_of_a_pod_that_can_answer(
    cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
):
    training(cluster)
    cluster.answers["cars-1-1-a", "/metrics"] = cluster.answers.pop(("cars-1-0-a", "/metrics"))
    cluster.answers["cars-1-1-a", "/readyz"] = (200, "ok\n")
    cluster.pods = [pod(0, conditions=[*dark(), EVICTED], leaving=True), pod(1)]
    commands.status("cars-1")
    text = said(capsys)
    assert "pod 0: terminating (DeletionByTaintManager); its node does not respond" in text
    assert "640 images/s" in text
    cluster.pods = [pod(0, ready=False), pod(1)]
    commands.status("cars-1")
    assert "640 images/s" in said(capsys), "a pod that has just been replaced does not train yet"


def test_waiting_names_the_lost_node_once(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]):
    training(cluster)
    cluster.pods = [pod(0), pod(1, conditions=dark())]
    assert commands.wait("cars-1", timeout=0.1) == EXIT_INTERRUPTED
    assert capsys.readouterr().err.count("waiting for pod 1: its node does not respond") == 1


def test_the_log_of_a_lost_node_cannot_be_read_and_another_pod_has_rank_0(
    cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
):
    cluster.jobs, cluster.pods = [job()], [pod(0, conditions=dark()), pod(1)]
    cluster.logs = {"cars-1-1-a": ["2026-11-20T12:00:00Z generation 2: 1 rank on 1 pod"]}
    commands.logs("cars-1")
    assert said(capsys).splitlines() == ["generation 2: 1 rank on 1 pod"]
    cluster.pods = [pod(0, conditions=dark())]
    with pytest.raises(
        TransientError, match="the log of cars-1-0-a cannot be read: its node node-1 does not"
    ):
        commands.logs("cars-1")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (ended(137, "epoch 1\nmetrics at port 9090"), "ended with exit code 137 (killed by signal 9);"),
        (
            ended(137, "metrics at port 9090", "OOMKilled"),
            "ran out of memory (exit code 137, OOMKilled): raise resources.limits.memory;",
        ),
        (ended(1, "Traceback\nMemoryError"), "ended with exit code 1: MemoryError;"),
        (ended(75, "metrics at port 9090"), "stopped, and will resume (exit code 75);"),
    ],
)
def test_the_cause_is_that_of_the_kernel_or_the_last_line(
    cluster: FakeCluster, capsys: pytest.CaptureFixture[str], state: dict[str, Any], words: str
):
    cluster.jobs, cluster.pods = [job()], [pod(0), pod(1, "Failed", state=state)]
    commands.status("cars-1")
    text = said(capsys)
    assert f"pod 1: {words}" in text
    assert "port 9090" not in text


def test_a_container_that_starts_again_in_its_pod_says_why(
    cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
):
    back_off = {
        "waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s restarting failed container"}
    }
    oom = ended(137, "", "OOMKilled")
    cluster.jobs = [job()]
    cluster.pods = [pod(0), pod(1, state=back_off, before=oom, ready=False)]
    commands.status("cars-1")
    text = said(capsys)
    assert (
        "pod 1: ran out of memory (exit code 137, OOMKilled): raise resources.limits.memory; it starts"
        in text
    )
    assert "Running, 1 restart" in text


def test_what_a_pod_cannot_mount_is_said(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]):
    waiting = {"waiting": {"reason": "ContainerCreating"}}
    cluster.jobs = [job()]
    cluster.pods = [pod(0), pod(1, "Pending", state=waiting, ready=False)]
    missing = 'MountVolume.SetUp failed for volume "config": configmap "cars-1-1234" not found'
    cluster.events = [warning("Pod", "cars-1-1-a", missing), warning("Pod", "another", "no matter")]
    commands.status("cars-1")
    assert f"pod 1: starting ({missing})" in said(capsys)


PULL = 'failed to pull image "x:1": not found'


def test_an_image_that_cannot_be_pulled_is_said_once(
    cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
):
    def now(reason: str, message: str) -> Any:
        state = {"waiting": {"reason": reason, "message": message}}
        return lambda: cluster.pods.__setitem__(0, pod(0, "Pending", state=state, ready=False))

    cluster.jobs, cluster.pods = [job(wanted=1)], [pod(0)]
    again = f'Back-off pulling image "x:1": ErrImagePull: {PULL}'
    done = lambda: cluster.jobs.__setitem__(0, job(Complete=""))  # noqa: E731
    cluster.steps = [now("ErrImagePull", PULL), now("ImagePullBackOff", again)] * 2 + [done, lambda: None]
    assert commands.wait("cars-1") == 0
    assert capsys.readouterr().err.count(f"pod 0: cannot start: ErrImagePull: {PULL}") == 1


def test_nobody_waits_for_a_name_that_no_image_can_have(
    cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
):
    state = {
        "waiting": {"reason": "InvalidImageName", "message": 'Failed to apply default image tag "UPPER:1"'}
    }
    cluster.jobs, cluster.pods = [job(wanted=1)], [pod(0, "Pending", state=state, ready=False)]
    assert commands.wait("cars-1") == EXIT_INVALID
    assert "cars-1 can never start: pod 0 cannot start: InvalidImageName: Failed to apply" in said(capsys)


def test_an_installation_that_was_refused_has_no_finished_run(cluster: FakeCluster, tmp_path):
    cluster.config_maps = {"cars-1-1234": {"run.yaml": f"run: {{url: {tmp_path}/run}}\n"}}
    cluster.helm = {"cars-1": "failed", "cars-2": "deployed"}
    for command in (commands.status, commands.logs, commands.wait):
        with pytest.raises(
            ConfigError, match=r"the installation of release 'cars-1' failed.*helm status cars-1"
        ):
            command("cars-1")
    cluster.forbidden = {"secrets"}
    with pytest.raises(ConfigError, match=r"has no Job: it was deleted .*, or refused when it was installed"):
        commands.status("cars-1")


def test_a_release_whose_config_map_is_gone_still_leads_to_its_run(cluster: FakeCluster):
    cluster.jobs = [job()]
    with pytest.raises(ConfigError, match=r"the ConfigMap of release 'cars-1', .* is missing or unreadable"):
        commands.run_url("cars-1")
    values = '{"run": {"run": {"url": "s3://bucket/runs/cars-1"}}}'
    cluster.jobs[0]["metadata"]["annotations"] = {"cars-trainer/values": values}
    assert commands.run_url("cars-1") == "s3://bucket/runs/cars-1"
    names = job(chart="cars-predict")
    names["metadata"]["annotations"] = {"cars-trainer/values": '{"run": "s3://bucket/runs/cars-1"}'}
    cluster.jobs = [names]
    with pytest.raises(ConfigError, match="cars-1 is not a release of cars-train"):
        commands.run_url("cars-1")
