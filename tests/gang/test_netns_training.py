"""The real trainer in two pods with addresses and names of their own: whatever dies, the same result."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.gang.gangs import Pod, Run, wait_for
from tests.gang.namespaces import Network, available
from tests.run_processes import Runs

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
POD_0 = "cars-0.cars"
EXACT: dict[str, Any] = {
    "model": {"name": "lab-cnn", "options": {"n_filters": 4, "n_dense_layers": 1, "use_dropout": True}},
    "train": {"epochs": 6, "lanes": 4, "optimizer": {"name": "adam"}, "deterministic": True},
    "run": {"checkpoint": {"every": "5 steps"}},
}


class Cluster(Run):
    """Two pods in namespaces that train one run, found by the name of pod 0."""

    def __init__(self, runs: Runs, *, ipv6: bool = False) -> None:
        self.config = runs.config("run", **EXACT)
        self.runs = runs
        super().__init__(self.config.parent)
        self.network = Network(ipv6=ipv6)
        self.network.name(POD_0, 10)

    def start(self, index: int, last: int) -> Pod:
        """Pod `index` at the address `last`."""
        space = self.network.add(f"pod-{index}-{last}", last)
        environment = {
            "TRAINER_POD_INDEX": str(index),
            "TRAINER_PODS": "2",
            "TRAINER_COORDINATOR": POD_0,
            "OMP_NUM_THREADS": "1",
            "TF_NUM_INTRAOP_THREADS": "1",
        }
        rank = [sys.executable, "-m", "tests.training.rank", str(self.config), str(self.folder)]
        return self.pod(rank, environment=environment, inside=self.network.inside(space))

    def wait_for_steps(self, count: int, rank: int = 0) -> None:
        path = self.folder / f"digests-{rank}"
        deadline = time.monotonic() + 300
        while not path.exists() or len(path.read_text().split()) < count:
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.02)

    def finish(self, *pods: Pod) -> None:
        for pod in pods:
            assert pod.process.wait(300) == 0, self.output()

    def close(self) -> None:
        super().close()
        self.network.close()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, digits: str) -> Path:
    runs = Runs(tmp_path_factory.mktemp("undisturbed"), digits)
    return runs.finish(runs.config("undisturbed", **EXACT), 2)


@pytest.fixture
def cluster(runs: Runs) -> Iterator[Cluster]:
    if reason := available():
        pytest.skip(reason)
    cluster = Cluster(runs)
    yield cluster
    cluster.close()


@pytest.fixture
def pods(cluster: Cluster) -> list[Pod]:
    """Two that train, in the second epoch."""
    pods = [cluster.start(0, 10), cluster.start(1, 11)]
    cluster.wait_for_steps(30)
    return pods


def same(cluster: Cluster, undisturbed: Path) -> None:
    mine, theirs = cluster.runs.weights(cluster.folder), cluster.runs.weights(undisturbed)
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_killed_rank(cluster: Cluster, pods: list[Pod], undisturbed: Path) -> None:
    os.kill(int((cluster.folder / "pid-1").read_text()), signal.SIGKILL)
    cluster.finish(*pods)
    assert "rank 1 was killed by SIGKILL" in pods[1].output()
    same(cluster, undisturbed)


def test_a_killed_chief_loses_no_finished_step(cluster: Cluster, pods: list[Pod], undisturbed: Path) -> None:
    os.kill(int((cluster.folder / "pid-0").read_text()), signal.SIGKILL)
    cluster.finish(*pods)
    assert "rank 1 holds the newest state, in memory" in pods[0].output()
    assert cluster.runs.digests(cluster.folder, 1) == cluster.runs.digests(undisturbed, 1)
    same(cluster, undisturbed)


def test_a_killed_pod(cluster: Cluster, pods: list[Pod], undisturbed: Path) -> None:
    pods[1].signal(signal.SIGKILL)
    wait_for(lambda: "waiting for pod 1" in pods[0].output(), "pod 0 says who is missing")
    cluster.finish(pods[0], cluster.start(1, 21))
    same(cluster, undisturbed)


def test_a_killed_pod_0_that_comes_back_with_another_address(
    cluster: Cluster, pods: list[Pod], undisturbed: Path
) -> None:
    pods[0].signal(signal.SIGKILL)
    wait_for(lambda: "waiting for pod 0" in pods[1].output(), "pod 1 says who is missing")
    cluster.network.name(POD_0, 20)
    cluster.finish(cluster.start(0, 20), pods[1])
    assert "pod 0 answers again, at 10.77.0.20" in pods[1].output()
    same(cluster, undisturbed)


def test_a_network_of_ipv6_alone(runs: Runs, undisturbed: Path) -> None:
    if reason := available():
        pytest.skip(reason)
    cluster = Cluster(runs, ipv6=True)
    try:
        cluster.finish(cluster.start(0, 10), cluster.start(1, 11))
        same(cluster, undisturbed)
    finally:
        cluster.close()
