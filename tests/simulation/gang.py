"""Pods of one run in a simulated world. What decides is the trainer's own code: decisions, contacts, tokens,
commits, restore and retention. Supervisors, ranks and their steps are played."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.simulation.pod import Pod
from tests.simulation.promises import Promises
from tests.simulation.training import Training
from tests.simulation.world import Faults, Violation, World
from trainer.checkpoints.restore import restore
from trainer.gang.forming.policy import Policy


class FrozenTime:
    """Stands for datetime in played code, which must do the same each time."""

    @staticmethod
    def now(zone: Any) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


class Simulation(Promises):
    """One run of a gang.

    Attributes:
        lost: pods that go and never return.
    """

    def __init__(
        self, world: World, pods: int, policy: Policy, *, steps: int = 12, survives: bool = False
    ) -> None:
        super().__init__(world, pods, policy, survives=survives)
        self.steps = steps
        self.home = "job-0.gang:1"
        self.formed = self.attempts = 0
        self.finished = False
        self.lost: set[int] = set()
        self.groups: dict[int, int] = {}
        self.trainings: dict[str, Training] = {}
        self.pods = [Pod(self, index) for index in range(pods)]
        self.by_address = {pod.address: pod for pod in self.pods}

    def connected(self, one: int, other: int) -> bool:
        return self.groups.get(one, 0) == self.groups.get(other, 0)

    def over(self) -> bool:
        """Whether all pods that are not lost have ended."""
        for pod in self.pods:
            if pod.alive or (pod.exit_code is None and pod.index not in self.lost):
                return False
        return True

    def check_the_end(self) -> None:
        if not self.over():
            states = {
                pod.index: (pod.uid, str(pod.member.state), pod.contact.target, pod.exit_code)
                for pod in self.pods
                if pod.alive and not pod.reading
            }
            raise Violation(f"not finished after {self.world.now:.0f} s: {states}")
        if not self.finished:
            raise Violation("all ended, and the run is not finished")
        result: list[Any] = []
        self.world.faults = Faults()
        self.world.call(lambda store: restore(store, workers=1), lambda *got: result.append(got))
        self.world.run(self.world.now + 100, lambda: bool(result))
        restored, error = result[0]
        if error:
            raise Violation(f"the last checkpoint cannot be restored: {error!r}")
        self.judge_restored(restored, max(self.acknowledged, default=-1))
