"""When the next checkpoint is due."""

from dataclasses import dataclass

from trainer.config.types import Every


@dataclass
class CheckpointSchedule:
    """`due`: whether a checkpoint is due. `taken`: starts the next interval.

    `step` and `epochs` count what is finished; `now` is in seconds of any steady clock.
    """

    every: Every
    step: int
    epochs: int
    now: float

    def due(self, step: int, epochs: int, now: float, *, stored: bool = True) -> bool:
        """`stored`: whether no earlier checkpoint is still being stored."""
        if self.every.unit == "continuous":
            return stored and (step, epochs) != (self.step, self.epochs)
        elapsed = {"seconds": now - self.now, "steps": step - self.step, "epochs": epochs - self.epochs}
        return elapsed[self.every.unit] >= self.every.count

    def taken(self, step: int, epochs: int, now: float) -> None:
        self.step, self.epochs, self.now = step, epochs, now
