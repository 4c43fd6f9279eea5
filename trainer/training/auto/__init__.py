"""`recipe: auto`: chosen by the data and the machine as a run starts, and kept with it."""

from trainer.training.auto.choice import Choice
from trainer.training.auto.loaded_run import loaded_run

__all__ = ["Choice", "loaded_run"]
