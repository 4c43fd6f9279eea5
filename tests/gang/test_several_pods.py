"""Two and three pods as supervisors on one machine: how a gang forms, breaks, forms again and ends."""

import os
import re
import signal
import urllib.error
from pathlib import Path

import pytest

from scripts.processes import free_port
from tests.gang.gangs import Pod, Run, wait_for
from tests.gang.rank import undisturbed
from tests.gang.test_supervisor import read
from trainer.errors import EXIT_INTERRUPTED


class Gang(Run):
    """Pods that share a coordinator's address."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()

    def member(
        self, index: int, *options: str, steps: int = 40, pods: int = 2, words: str = "", job: str = ""
    ) -> Pod:
        environment = {
            "TRAINER_JOB_UID": job,
            "TRAINER_POD_INDEX": str(index),
            "TRAINER_PODS": str(pods),
            "TRAINER_COORDINATOR": f"127.0.0.1:{self.port}",
        }
        return self.pod(self.rank_command(steps, *words.split()), *options, environment=environment)


@pytest.fixture
def gang(tmp_path: Path):
    gang = Gang(tmp_path)
    yield gang
    gang.close()
    wait_for(lambda: not gang.living(), "the ranks are gone with their pods")


def test_two_pods_of_different_sizes_train_and_end_together(gang: Gang) -> None:
    last = gang.member(1, "--ranks", "2")
    first = gang.member(0, "--ranks", "1")
    assert (first.wait(), last.wait()) == (0, 0), gang.output()
    assert gang.result() == undisturbed(40)
    assert {(event["rank"], event["size"]) for event in gang.events("finished")} == {(0, 3), (1, 3), (2, 3)}
    assert "generation 1: 3 ranks on 2 pods" in first.output()


def test_a_killed_rank_starts_all_ranks_of_all_pods_again(gang: Gang) -> None:
    pods = [gang.member(0), gang.member(1)]
    os.kill(gang.wait_for_step(12, rank=1)["pid"], signal.SIGKILL)
    assert [pod.wait() for pod in pods] == [0, 0], gang.output()
    assert gang.result() == undisturbed(40)
    assert "rank 1 was killed by SIGKILL; restarting all 2 ranks" in pods[1].output()
    assert "generation 1 ends: pod 1 has lost its ranks" in pods[0].output()
    assert "pod 0 has lost its ranks" not in pods[0].output(), "its ranks did as they were told"
    assert {(event["rank"], event["generation"]) for event in gang.events("finished")} == {(0, 2), (1, 2)}


def test_a_stuck_rank_is_named_with_its_stacks_killed_and_the_run_goes_on(gang: Gang) -> None:
    words = "--hang 1:12 --lost-after 1000"
    pods = [
        gang.member(index, "--stall-timeout", "1", "--metrics-port", "0", words=words) for index in (0, 1)
    ]
    url = f"http://127.0.0.1:{metrics_port(pods[1])}"
    wait_for(lambda: re.search(r'stalled_seconds{rank="1"} 0.[5-9]', read(f"{url}/metrics")), "it shows")
    why = wait_for(lambda: not_ready(url), "it is not ready").strip()
    assert re.fullmatch(r"no progress: rank 1 has been reading images for \d s, after step 11", why)
    assert [pod.wait() for pod in pods] == [0, 0], gang.output()
    assert f"generation 1 ends: {why}\n" in pods[0].output()
    assert f"{why}; restarting all 2 ranks" in pods[1].output()
    assert re.search(r'rank 1 \|   File ".*tests/gang/rank.py", line \d+ in stuck', pods[1].output())
    steps = [event["step"] for event in gang.events("step", rank=0)]
    assert steps == list(range(40)), "no step was lost"


def test_a_frozen_rank_is_named_in_log_and_metric_and_replaced(gang: Gang) -> None:
    pods = [gang.member(index, "--metrics-port", "0") for index in (0, 1)]
    url = f"http://127.0.0.1:{metrics_port(pods[1])}"
    os.kill(gang.wait_for_step(12, rank=1)["pid"], signal.SIGSTOP)
    wait_for(lambda: re.search(r'stalled_seconds{rank="1"} [1-9]', read(f"{url}/metrics")), "it shows")
    assert [pod.wait() for pod in pods] == [0, 0], gang.output()
    assert gang.result() == undisturbed(40)
    frozen = r"no progress: rank 1 has been [a-z ]+ for \d s, after step \d+, stopped by a signal"
    assert re.search(f"generation 1 ends: {frozen}", pods[0].output()), gang.output()
    assert re.search("rank 1 .*stopped by a signal.*; restarting all 2 ranks", pods[1].output())
    assert [event["step"] for event in gang.events("step", rank=0)] == list(range(40)), "no step was lost"


def test_a_slow_rank_is_named_in_log_and_metric_and_stays(gang: Gang) -> None:
    words = "--slow 1:0.05 --pause 0.001"
    pods = [
        gang.member(index, "--slow-after", "0.5", "--metrics-port", "0", words=words, steps=1000)
        for index in (0, 1)
    ]
    url = f"http://127.0.0.1:{metrics_port(pods[1])}"
    wait_for(lambda: 'trainer_rank_slow{rank="1"} 1.0' in read(f"{url}/metrics"), "it shows")
    assert re.search(r"rank 1 \(pod 1\) is slow: .* 0\.0\d\d s for its own part", pods[0].output())
    assert "rank 0 (pod 0" not in pods[0].output()
    for pod in pods:
        pod.signal(signal.SIGTERM)
    assert [pod.wait() for pod in pods] == [75, 75], gang.output()
    assert len(gang.pids()) == 2, "nobody was replaced"


def test_a_pod_that_cannot_train_is_waited_for_and_says_why(gang: Gang) -> None:
    unhealthy = gang.folder / "unhealthy"
    unhealthy.touch()
    pods = [gang.member(0), gang.member(1, "--unhealthy", str(unhealthy), "--metrics-port", "0")]
    wait_for(lambda: "waiting for pod 1, which is not ready: no GPU" in pods[0].output(), "pod 0 says it")
    assert "not ready to train: no GPU" in pods[1].output()
    with pytest.raises(urllib.error.HTTPError, match="503") as error:
        read(f"http://127.0.0.1:{metrics_port(pods[1])}/readyz")
    assert error.value.read() == b"not ready to train: no GPU\n"
    assert not gang.pids()
    unhealthy.unlink()
    assert [pod.wait() for pod in pods] == [0, 0], gang.output()
    assert "ready to train\n" in pods[1].output()


def metrics_port(pod: Pod) -> str:
    found = wait_for(lambda: re.search(r"metrics on port (\d+)", pod.output()), "the port is named")
    return str(found[1])


def not_ready(url: str) -> str:
    try:
        read(f"{url}/readyz")
    except urllib.error.HTTPError as error:
        text = str(error.read().decode())
        return text if "no progress" in text else ""
    return ""


def test_a_killed_pod_is_waited_for(gang: Gang) -> None:
    first, last = gang.member(0), gang.member(1)
    gang.wait_for_step(12)
    last.signal(signal.SIGKILL)
    wait_for(lambda: "waiting for pod 1" in first.output(), "pod 0 says for whom it waits")
    again = gang.member(1)
    assert (first.wait(), again.wait()) == (0, 0), gang.output()
    assert gang.result() == undisturbed(40)


def test_a_killed_pod_0_is_waited_for(gang: Gang) -> None:
    first, last = gang.member(0), gang.member(1)
    gang.wait_for_step(12)
    first.signal(signal.SIGKILL)
    wait_for(lambda: "waiting for pod 0 at 127.0.0.1" in last.output(), "pod 1 says for whom it waits")
    again = gang.member(0)
    assert (again.wait(), last.wait()) == (0, 0), gang.output()
    assert gang.result() == undisturbed(40)
    assert "generation 2: 2 ranks on 2 pods" in again.output(), "a new coordinator counts on"


@pytest.mark.parametrize("index", [0, 1])
def test_a_pod_that_is_asked_to_leave_lets_all_stop_at_one_step(gang: Gang, index: int) -> None:
    pods = [gang.member(0), gang.member(1)]
    gang.wait_for_step(12)
    pods[index].signal(signal.SIGTERM)
    assert pods[index].wait() == 75
    assert len({event["step"] for event in gang.events("stopped")}) == 1
    assert len(gang.events("stopped")) == 2
    assert pods[1 - index].process.poll() is None, "the other one waits"
    again = gang.member(index)
    assert (again.wait(), pods[1 - index].wait()) == (0, 0), gang.output()
    assert gang.result() == undisturbed(40)
    steps = [event["step"] for event in gang.events("step", rank=0)]
    assert steps == list(range(40)), "no step was lost"


def test_all_pods_asked_to_leave_exit_75(gang: Gang) -> None:
    pods = [gang.member(0), gang.member(1)]
    gang.wait_for_step(5)
    for pod in pods:
        pod.signal(signal.SIGTERM)
    assert [pod.wait() for pod in pods] == [75, 75]
    assert not gang.living()


def test_a_pod_that_still_waits_leaves_at_once(gang: Gang) -> None:
    pod = gang.member(1)
    wait_for(lambda: "waiting for pod 0" in pod.output(), "it says what it waits for")
    pod.signal(signal.SIGTERM)
    assert pod.wait() == 75


@pytest.mark.parametrize("index", [0, 1])
def test_64_in_one_pod_ends_all_with_64(gang: Gang, index: int) -> None:
    pods = [gang.member(pod, words=f"--exit {index}:6:64") for pod in (0, 1)]
    assert [pod.wait() for pod in pods] == [64, 64], gang.output()
    assert len(gang.pids()) == 2


def test_the_gang_grows_and_shrinks_without_losing_a_step(gang: Gang) -> None:
    wanted = gang.folder / "wanted"
    wanted.write_text("2")
    pods = [gang.member(0, "--wanted", str(wanted), steps=1000), gang.member(1, steps=1000)]
    gang.wait_for_step(5, size=2)
    wanted.write_text("3")
    pods.append(gang.member(2, steps=1000))
    gang.wait_for_step(6, size=3)
    wanted.write_text("2")
    pods.pop().signal(signal.SIGTERM)
    third = max(event["generation"] for event in gang.events("start"))
    gang.wait_for_step(7, size=2, generation=third + 1)
    for pod in pods:
        pod.signal(signal.SIGTERM)
    assert [pod.wait() for pod in pods] == [75, 75], gang.output()
    steps = [event["step"] for event in gang.events("step", rank=0)]
    assert steps == list(range(len(steps))), "no step was lost"


def test_a_pod_that_comes_back_to_a_finished_run_does_not_wait_for_the_others(gang: Gang) -> None:
    (gang.folder / "result").write_text("there")
    pod = gang.member(1, "--finished", str(gang.folder / "result"))
    assert pod.wait() == 0
    assert "the run is finished" in pod.output()
    assert not gang.pids()


def test_pods_of_another_job_under_the_same_name_are_kept_out(gang: Gang) -> None:
    """As after `helm uninstall` and `helm install`, while the old pods still terminate."""
    first, stranger = gang.member(0, job="new"), gang.member(1, job="old")
    wait_for(lambda: "belongs to another Job" in stranger.output(), "the old pod is refused")
    assert not gang.events("start")
    refused = "refused a report from 127.0.0.1: it is signed with another key, or for another Job"
    assert refused in first.output(), "both sides say it"
    last = gang.member(1, job="new")
    assert (first.wait(), last.wait()) == (0, 0), gang.output()
    assert gang.result() == undisturbed(40)
    assert stranger.process.poll() is None
    stranger.signal(signal.SIGTERM)
    assert stranger.wait() == EXIT_INTERRUPTED
