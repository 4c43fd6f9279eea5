"""Two pods with addresses and names of their own: what a cluster's network does to a gang."""

import os
import signal
from collections.abc import Iterator
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

    def start(self, index: int, space: str) -> Pod:
        environment = {
            "TRAINER_POD_INDEX": str(index),
            "TRAINER_PODS": "2",
            "TRAINER_COORDINATOR": POD_0,
        }
        inside = self.network.inside(space)
        return self.pod(self.rank_command(STEPS), environment=environment, inside=inside)

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


def test_a_killed_rank(cluster: Cluster, pods: list[Pod]) -> None:
    os.kill(cluster.events("start", rank=1)[0]["pid"], signal.SIGKILL)
    assert [pod.wait() for pod in pods] == [0, 0], cluster.output()
    assert cluster.result() == undisturbed(STEPS)
    assert "rank 1 was killed by SIGKILL" in pods[1].output()


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
