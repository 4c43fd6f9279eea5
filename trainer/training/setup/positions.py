"""How far a state has come, to compare it with others and with checkpoints."""

from trainer.checkpoints.training_state import TrainingState
from trainer.storage import Store
from trainer.training.run_plan import RunPlan, resume_step


def position(state: TrainingState | None) -> int:
    """A number that grows with each step, and when an epoch is closed after its last step; 0 for no state."""
    return 0 if state is None else 1 + state.step + int(state.values["progress"]["epochs_closed"])


def checkpointed(store: Store, plan: RunPlan) -> int:
    """The position of the newest checkpoint, 0 without one."""
    step = resume_step(store)
    return 0 if step is None else 1 + step + step // plan.steps_per_epoch
