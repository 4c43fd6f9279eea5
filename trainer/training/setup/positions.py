"""How far a state has come, to compare it with others and with checkpoints."""

from trainer.checkpoints.training_state import TrainingState
from trainer.storage import Store
from trainer.training.run_plan import RunPlan, resume_step

_PHASES = 1 << 10
"""More than a run has phases."""


def phases_ended(state: TrainingState) -> int:
    """How many phases a state has behind it."""
    return len(state.values.get("phases", ()))


def position(state: TrainingState | None) -> int:
    """A number that grows with each step, when an epoch is closed after its last step, and when the next
    phase begins after that; 0 for no state."""
    if state is None:
        return 0
    progress = state.values["progress"]
    return (1 + state.step + int(progress["epochs_closed"])) * _PHASES + phases_ended(state)


def checkpointed(store: Store, plan: RunPlan) -> int:
    """The position of the newest checkpoint, without its phase; 0 without one."""
    step = resume_step(store)
    return 0 if step is None else (1 + step + step // plan.steps_per_epoch) * _PHASES


def without_phase(position: int) -> int:
    """The position, to compare it with that of a checkpoint."""
    return position // _PHASES * _PHASES
