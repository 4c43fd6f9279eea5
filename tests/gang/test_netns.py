"""Two pods with addresses and names of their own: what a cluster's network does to a gang."""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.gang.gangs import Pod, Run, wait_for
from tests.gang.namespaces import Network, available
from tests.gang.rank import undisturbed

pytestmark = pytest.mark.slow

STEPS = 60
POD_0 = "cars-0.cars"


class Cluster(Run):
    """Pods in namespaces; pod 0 is found by its name."""

    def __init__(self, folder: Path, *, ipv6: bool) -> None:
        super().__init__(folder)
        self.network = Network(ipv6=ipv6)

    def start(self, index: int, space: str, *options: str, pods: int = 2, steps: int = STEPS) -> Pod:
        environment = {
            "TRAINER_JOB_UID": "job",
            "TRAINER_POD_INDEX": str(index),
            "TRAINER_PODS": str(pods),
            "TRAINER_COORDINATOR": POD_0,
        }
        inside = self.network.inside(space)
        return self.pod(self.rank_command(steps), *options, environment=environment, inside=inside)

    def close(self) -> None:
        super().close()
        self.network.close()


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    if reason := available():
        pytest.skip(reason)
    cluster = Cluster(tmp_path, ipv6=getattr(request, "param", "IPv4") == "IPv6")
    yield cluster
    cluster.close()
    wait_for(lambda: not cluster.living(), "the ranks are gone with their pods")


@pytest.mark.parametrize("cluster", ["IPv4", "IPv6"], indirect=True)
def test_pods_find_each_other_by_name_whoever_comes_first(cluster: Cluster) -> None:
    spaces = [cluster.network.add("a", 10), cluster.network.add("b", 11)]
    last = cluster.start(1, spaces[1])
    wait_for(lambda: f"waiting for pod 0 at {POD_0}" in last.output(), "the name does not resolve yet")
    cluster.network.name(POD_0, 10)
    first = cluster.start(0, spaces[0])
    assert (first.wait(), last.wait()) == (0, 0), cluster.output()
    assert cluster.result() == undisturbed(STEPS)


@pytest.fixture
def pods(cluster: Cluster) -> list[Pod]:
    """Two that train."""
    cluster.network.name(POD_0, 10)
    pods = [cluster.start(index, cluster.network.add(f"pod-{index}", 10 + index)) for index in (0, 1)]
    cluster.wait_for_step(12)
    return pods


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.long), 1])
def test_a_killed_rank(cluster: Cluster, pods: list[Pod], rank: int) -> None:
    os.kill(cluster.events("start", rank=rank)[0]["pid"], signal.SIGKILL)
    assert [pod.wait() for pod in pods] == [0, 0], cluster.output()
    assert cluster.result() == undisturbed(STEPS)
    assert f"rank {rank} was killed by SIGKILL" in pods[rank].output()


@pytest.mark.long
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_a_signal_has_stopped(cluster: Cluster, pods: list[Pod], rank: int) -> None:
    os.kill(cluster.events("start", rank=rank)[0]["pid"], signal.SIGSTOP)
    assert [pod.wait() for pod in pods] == [0, 0], cluster.output()
    assert cluster.result() == undisturbed(STEPS)
    assert f"no progress: rank {rank} has been" in pods[0].output()


@pytest.mark.long
def test_all_pods_killed_at_once(cluster: Cluster, pods: list[Pod]) -> None:
    for pod in pods:
        pod.signal(signal.SIGKILL)
    again = [cluster.start(index, str(pod.process.args[3])) for index, pod in enumerate(pods)]  # type: ignore[index]
    assert [pod.wait() for pod in again] == [0, 0], cluster.output()
    assert cluster.result() == undisturbed(STEPS)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_twenty_kills_of_ranks_and_supervisors(cluster: Cluster) -> None:
    """At random moments; who was killed comes back with another address."""
    steps, drawn, last = 2000, random.Random(5), 30
    cluster.network.name(POD_0, 10)
    spaces = [cluster.network.add(f"pod-{index}", 10 + index) for index in (0, 1)]
    pods = [cluster.start(index, spaces[index], "--max-failures", "100", steps=steps) for index in (0, 1)]
    for number in range(20):
        done = max((event["step"] for event in cluster.events("step")), default=-1)
        cluster.wait_for_step(done + drawn.randrange(1, 30))
        time.sleep(drawn.random() * 0.2)
        index = drawn.randrange(2)
        if number % 2:
            pods[index].signal(signal.SIGKILL)
            last += 1
            space = cluster.network.add(f"again-{number}", last)
            if index == 0:
                cluster.network.name(POD_0, last)
            pods[index] = cluster.start(index, space, "--max-failures", "100", steps=steps)
        else:
            with suppress(ProcessLookupError):
                os.kill(cluster.events("start", rank=index)[-1]["pid"], signal.SIGKILL)
    done = max(event["step"] for event in cluster.events("step"))
    assert done < steps - 1, "the last kill came before the end"
    for pod in pods:
        pod.signal(signal.SIGTERM)
    assert [pod.wait() for pod in pods] == [75, 75], cluster.output()
    step, state = json.loads((cluster.folder / "checkpoint").read_text())
    assert step >= done
    assert state == undisturbed(step), "as of a run that nothing happened to"


@pytest.mark.long
def test_both_sides_of_a_partition(cluster: Cluster) -> None:
    """Pod 0 coordinates, and is cut off: the other two train without it, and it joins them again."""
    names = [POD_0, "cars-1.cars", "cars-2.cars"]
    spaces = []
    for index, name in enumerate(names):
        cluster.network.name(name, 10 + index)
        spaces.append(cluster.network.add(f"pod-{index}", 10 + index))
    options = ("--store", str(cluster.folder / "run"), "--wait", "1", "--patience", "2")
    pods = [cluster.start(index, spaces[index], *options, pods=3, steps=5000) for index in range(3)]
    before = cluster.wait_for_step(5, size=3)
    cluster.network.cut(spaces[0])
    alone = cluster.wait_for_step(before["step"] + 1, size=2)
    newest = max((cluster.folder / "run/generations").iterdir())
    assert json.loads(newest.read_text())["coordinator"]["pod"] == 1
    assert "pod 1 coordinates now" in pods[1].output()
    cluster.network.mend(spaces[0])
    cluster.wait_for_step(alone["step"] + 1, size=3, generation=alone["generation"] + 1)
    assert "pod 1 coordinates now, by token" in pods[0].output(), "pod 0 joins it"
    for pod in pods:
        pod.signal(signal.SIGTERM)
    assert [pod.wait() for pod in pods] == [75, 75, 75], cluster.output()
    step, state = json.loads((cluster.folder / "checkpoint").read_text())
    assert state == undisturbed(step)


def test_a_killed_pod_comes_back_with_another_address(cluster: Cluster, pods: list[Pod]) -> None:
    pods[1].signal(signal.SIGKILL)
    again = cluster.start(1, cluster.network.add("again", 21))
    assert (pods[0].wait(), again.wait()) == (0, 0), cluster.output()
    assert cluster.result() == undisturbed(STEPS)


def test_a_killed_pod_0_comes_back_with_another_address(cluster: Cluster, pods: list[Pod]) -> None:
    pods[0].signal(signal.SIGKILL)
    wait_for(lambda: "waiting for pod 0" in pods[1].output(), "pod 1 waits")
    space = cluster.network.add("again", 20)
    cluster.network.name(POD_0, 20)
    again = cluster.start(0, space)
    assert (again.wait(), pods[1].wait()) == (0, 0), cluster.output()
    assert cluster.result() == undisturbed(STEPS)
    assert "pod 0 answers again, at 10.77.0.20" in pods[1].output()


def test_a_pod_without_network_is_noticed_and_taken_in_again(cluster: Cluster, pods: list[Pod]) -> None:
    space = pods[1].process.args[3]  # type: ignore[index]
    cluster.network.cut(str(space))
    wait_for(
        lambda: "waiting for pod 1, which last reported" in pods[0].output(), "pod 0 says who is missing"
    )
    cluster.network.mend(str(space))
    assert [pod.wait() for pod in pods] == [0, 0], cluster.output()
    assert cluster.result() == undisturbed(STEPS)
