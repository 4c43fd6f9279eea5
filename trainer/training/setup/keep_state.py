"""Saves the state that ranks have left in memory, in a process of its own, without TensorFlow."""

import logging

from trainer.checkpoints.training_state import unpack
from trainer.checkpoints.writer import CheckpointWriter
from trainer.config import RunConfig
from trainer.distribution import rank_variables
from trainer.distribution.handover import handed_over
from trainer.runs.background_writer import Background
from trainer.runs.claim import claim_again
from trainer.runs.fence import Superseded, SupersededByAnother
from trainer.storage import open_store
from trainer.training.run_plan import make_plan
from trainer.training.setup.positions import checkpointed, position

log = logging.getLogger(__name__)

_MAX_ATTEMPTS = 10


def keep_state(config: RunConfig) -> bool:
    """Whether this saved the state: not if there is none, or a checkpoint is as new.

    Another pod of the gang may do the same at the same time, with an older state: then each tries again until
    the newest is saved. Raises the store's errors, SupersededByAnother.
    """
    left = handed_over()
    if left is None:
        return False
    state = unpack(left)
    plan, store = make_plan(config, 1), open_store(config.run.url)
    keep_last = config.run.checkpoint.keep_last
    for _ in range(_MAX_ATTEMPTS):
        if checkpointed(store, plan) >= position(state):
            return False
        try:
            fence = claim_again(store, plan.document, rank_variables.holder())
            with CheckpointWriter(store, fence, Background(store.url), keep_last=keep_last) as writer:
                writer.save(state, wait=True)
        except SupersededByAnother:
            raise
        except Superseded:
            continue
        log.info("saved step %d, which no checkpoint had", state.step)
        return True
    return False
