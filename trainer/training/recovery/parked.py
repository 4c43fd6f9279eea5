"""A process that waits to replace a lost rank."""

import math
import os

from trainer.distribution import rank_variables
from trainer.distribution.places import places
from trainer.distribution.rank_status import Phase, report_phase
from trainer.errors import TransientError
from trainer.observability.tensorflow_import import quiet_tensorflow_import


def wait_for_a_place() -> None:
    """Loads what takes long, and waits until the supervisor has this process replace a lost rank."""
    with quiet_tensorflow_import():
        import trainer.distribution.horovod
        import trainer.training.run  # noqa: F401
    report_phase(Phase.PARKED)
    if not places().wait(lambda: False, math.inf, lambda: None):
        raise TransientError("the supervisor has ended")
    del os.environ[rank_variables.PARKED]
