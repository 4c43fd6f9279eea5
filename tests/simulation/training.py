"""One generation's ranks in the simulated world: one rank a pod, which make their steps together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.simulation.coordinator import GANG
from tests.simulation.store import Played
from tests.simulation.world import Violation
from trainer.checkpoints import commit as commits
from trainer.checkpoints.array_layout import ArrayLayout
from trainer.checkpoints.restore import restore
from trainer.checkpoints.retention import Retention
from trainer.checkpoints.training_state import TrainingState, describe
from trainer.errors import EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_LOST
from trainer.gang.members import Generation
from trainer.runs.fence import Fence, Superseded
from trainer.runs.layout import Attempt

if TYPE_CHECKING:
    from tests.simulation.gang import Simulation
    from tests.simulation.pod import Pod

STEP_SECONDS = 2.0
SAVE_EVERY = 3
GLOO_SECONDS = 3.0
JOIN_SECONDS = 30.0
ORPHAN_AGE = 30.0


@dataclass
class Training:
    sim: Simulation
    generation: Generation
    pods: dict[int, Pod] = field(default_factory=dict)
    step: int = -1
    begun: bool = False
    broken: bool = False
    stopping: bool = False
    saving: bool = False
    finishing: bool = False
    fence: tuple[int, str] = (0, "")
    ended: bool = False

    @property
    def chief(self) -> Pod:
        return self.pods[self.generation.seats[0].index]

    def join(self, pod: Pod) -> None:
        if self.broken:
            pod.ranks_end(EXIT_LOST)
            return
        self.pods[pod.index] = pod
        if len(self.pods) == len(self.generation.seats):
            self.begin()
        else:
            self.sim.world.after(JOIN_SECONDS, lambda: None if self.begun else self.fall())

    def whole(self) -> bool:
        first = self.chief
        return all(
            pod.trains(self) and self.sim.connected(first.index, pod.index) for pod in self.pods.values()
        ) and len(self.pods) == len(self.generation.seats)

    def begin(self) -> None:
        """The chief takes the token that the coordinator took for it, and the state: the leader's, or a
        checkpoint's if that is newer."""
        self.begun = True
        number, sim = self.generation.token, self.sim
        floor = max(sim.acknowledged, default=-1)

        def code(store: Played) -> Any:
            fence = Fence.hold(store, number, GANG)
            return fence.etag, restore(store, workers=1)

        def done(result: Any, error: Exception | None) -> None:
            if error:
                if not isinstance(error, Superseded | OSError):
                    raise Violation(f"restore failed: {error!r}")
                self.fall(EXIT_INTERRUPTED)
                return
            etag, restored = result
            self.fence = number, etag
            sim.judge_restored(restored, floor)
            leader = self.generation.leader
            self.step = max(restored.step if restored else 0, leader.step if leader else 0)
            sim.judge_start(self)
            sim.world.after(STEP_SECONDS, self.tick)

        self.chief.call(code, done, lambda: self.chief.has(self))

    def tick(self) -> None:
        sim = self.sim
        if self.broken or self.ended:
            return
        if not self.whole():
            sim.world.after(GLOO_SECONDS, self.fall)
            return
        if self.finishing:
            sim.world.after(STEP_SECONDS, self.tick)
            return
        if any(pod.asked for pod in self.pods.values()):
            self.stopping = True
            self.save(lambda: self.end(EXIT_INTERRUPTED))
            return
        self.step += 1
        sim.judge_step(self)
        if self.step >= sim.steps:
            self.finishing = True
            self.save(self.finish)
        elif self.step % SAVE_EVERY == 0 and not self.saving:
            self.save(lambda: None)
        sim.world.after(STEP_SECONDS, self.tick)

    def save(self, then: Callable[[], None]) -> None:
        sim, step, (number, etag) = self.sim, self.step, self.fence
        self.saving = True
        sim.attempts += 1
        attempt = Attempt(step, number, f"u{sim.attempts:06d}")
        array = np.full(8, attempt.step % 251, np.uint8)
        state = TrainingState(step, {"w": array}, {"uid": attempt.uid})
        arrays = ArrayLayout.of(state.arrays)
        description = describe(state, arrays)

        def code(store: Played) -> Any:
            fence = Fence(store, number, etag, GANG)
            commits.write(fence, attempt, array.data, description, piece_bytes=8, workers=1)
            return attempt

        def sweep(store: Played) -> Any:
            fence = Fence(store, number, etag, GANG)
            Retention(fence, keep_last=1, read_age=0, orphan_age=ORPHAN_AGE, workers=1).sweep(attempt)

        def done(result: Any, error: Exception | None) -> None:
            self.saving = False
            if isinstance(error, Superseded):
                self.fall(EXIT_INTERRUPTED)
            elif error:
                if not isinstance(error, OSError):
                    raise Violation(f"save failed: {error!r}")
                if self.stopping or self.finishing:
                    sim.world.after(1.0, lambda: self.save(then))
            else:
                sim.acknowledged.append(attempt.step)
                self.chief.call(sweep, self.swept, lambda: self.chief.has(self))
                then()

        self.chief.call(code, done, lambda: self.chief.has(self))

    def swept(self, result: Any, error: Exception | None) -> None:
        if error and not isinstance(error, Superseded | OSError):
            raise Violation(f"retention failed: {error!r}")

    def finish(self) -> None:
        if self.whole():
            self.sim.finished = True
            self.end(EXIT_FINISHED)
        else:
            self.fall()

    def end(self, code: int) -> None:
        if not self.ended:
            self.ended = True
            for pod in self.pods.values():
                if pod.trains(self):
                    pod.ranks_end(code, self.step)

    def fall(self, code: int = EXIT_LOST) -> None:
        """The exchange broke."""
        if not self.broken and not self.ended:
            self.broken = True
            for pod in self.pods.values():
                if pod.trains(self):
                    pod.ranks_end(code, self.step)
