"""`trainer logs` shows the chief's words, whatever happens to its pod and to the connection."""

import pytest

from trainer.cluster import commands
from trainer.errors import ConfigError

from .fake import FakeCluster, ended, job, pod

LINES = [f"2026-11-20T12:00:0{second}.5Z epoch {second}" for second in range(4)]


def shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_the_chiefs_log_is_shown(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]):
    cluster.jobs, cluster.pods = [job()], [pod(1), pod(0)]
    cluster.logs = {"cars-1-0-a": LINES, "cars-1-1-a": ["2026-11-20T12:00:00Z not the chief"]}
    commands.logs("cars-1")
    assert shown(capsys) == ["epoch 0", "epoch 1", "epoch 2", "epoch 3"]


def test_following_goes_on_in_the_pod_that_replaces_it(
    cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
):
    cluster.jobs = [job()]
    cluster.logs = {"cars-1-0-a": LINES[:2], "cars-1-0-b": ["2026-11-20T12:01:00Z resumed at step 7"]}
    first = pod(0, "Failed", uid="a", state=ended(75))
    second = pod(0, "Succeeded", uid="b", created="2026-11-20T12:00:30Z")

    def gone() -> None:
        cluster.pods = []

    def back() -> None:
        cluster.pods = [first, second]

    def finished() -> None:
        cluster.jobs = [job(Complete="")]

    cluster.pods = [first]
    cluster.steps = [lambda: None, gone, lambda: None, lambda: None, back, finished]
    commands.logs("cars-1", follow=True)
    captured = capsys.readouterr()
    assert captured.out.splitlines() == ["epoch 0", "epoch 1", "resumed at step 7"]
    assert "waiting for pod 0: not created yet" in captured.err
    assert "cars-1-0-a was replaced by cars-1-0-b" in captured.err


def test_a_cut_connection_repeats_nothing(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]):
    cluster.jobs, cluster.pods = [job(Complete="")], [pod(0, "Succeeded")]
    cluster.logs, cluster.cut = {"cars-1-0-a": LINES}, {"cars-1-0-a": 2}
    commands.logs("cars-1", follow=True)
    assert shown(capsys) == ["epoch 0", "epoch 1", "epoch 2", "epoch 3"]


def test_lines_of_one_instant_are_all_shown(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]):
    cluster.jobs, cluster.pods = [job()], [pod(0, "Succeeded")]
    cluster.logs = {"cars-1-0-a": ["2026-11-20T12:00:00Z one", "2026-11-20T12:00:00Z two"]}
    commands.logs("cars-1")
    assert shown(capsys) == ["one", "two"]


def test_the_kubelets_own_complaints_are_no_lines(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]):
    cluster.jobs, cluster.pods = [job()], [pod(0, "Succeeded")]
    cluster.logs = {"cars-1-0-a": [LINES[0], "unable to retrieve container logs for containerd://fa52"]}
    commands.logs("cars-1")
    assert shown(capsys) == ["epoch 0"]


def test_a_pod_that_cannot_start_is_said_in_place_of_a_log(cluster: FakeCluster):
    cluster.jobs = [job()]
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    cluster.pods = [pod(0, "Pending", state=waiting, ready=False)]
    with pytest.raises(ConfigError, match="pod 0: cannot start: ImagePullBackOff: no such image"):
        commands.logs("cars-1")


def test_a_log_that_went_with_its_pod_is_said(cluster: FakeCluster):
    cluster.jobs = [job(Failed="")]
    with pytest.raises(ConfigError, match="cars-1 failed, and its pod 0 was deleted with its log"):
        commands.logs("cars-1", follow=True)


def test_another_ranks_last_words_come_from_its_supervisor(
    cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
):
    cluster.jobs, cluster.pods = [job()], [pod(0), pod(1)]
    for name in ("cars-1-0-a", "cars-1-1-a"):
        cluster.answers[name, "/ranks/3/log"] = (404, "not here")
    with pytest.raises(ConfigError, match="no running pod of cars-1 has a rank 3"):
        commands.logs("cars-1", rank=3)
    cluster.answers["cars-1-1-a", "/ranks/3/log"] = (200, "three\n")
    commands.logs("cars-1", rank=3)
    assert shown(capsys) == ["three"]
