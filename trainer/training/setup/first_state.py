"""The first state of a run: a checkpoint, weights that the configuration names, or random ones."""

import logging

import keras
import numpy as np

from trainer.checkpoints.restore import restore
from trainer.checkpoints.training_state import TrainingState, pack, unpack
from trainer.distribution import Distribution, rank_variables
from trainer.distribution.handover import forget, handed_over
from trainer.models.starting_weights import load_starting_weights
from trainer.models.whitening_limit import ZCA
from trainer.observability.metrics import RunMetrics
from trainer.runs.claim import claim_again, claim_folder, is_begun
from trainer.runs.fence import Fence
from trainer.storage import Store
from trainer.training.run_plan import RunPlan
from trainer.training.run_state import Progress, capture
from trainer.training.setup.positions import checkpointed, position
from trainer.training.setup.whiten import whiten

log = logging.getLogger(__name__)


def agree_on_state(
    store: Store,
    plan: RunPlan,
    distribution: Distribution,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    metrics: RunMetrics,
) -> tuple[TrainingState, Fence | None]:
    """The chief takes the token. All ranks return the newest state: one that a rank has handed over, or the
    newest whole checkpoint's, which the chief restores."""
    left = handed_over()
    held = unpack(left) if left else None
    root = _holder(distribution, store, plan, held)
    fence, state = None, held if distribution.rank == root else None
    if distribution.is_chief:
        if root is None:
            # Before the folder is claimed: what is refused leaves nothing there.
            first_state = None if is_begun(store) else _first_state(plan, model, optimizer)
            fence, first = claim_folder(store, plan.document, rank_variables.holder())
            restored = restore(store, generation=first, identity=plan.identity)
            state = restored or first_state or _first_state(plan, model, optimizer)
        else:
            fence = claim_again(store, plan.document, rank_variables.holder())
            log.info("rank %d holds the newest state, in memory", root)
        metrics.begin_run(generation=fence.number, world_size=distribution.size, total_steps=plan.total_steps)
    if distribution.size > 1:
        state = unpack(distribution.broadcast_bytes(pack(state) if state else b"", root or 0))
    assert state is not None
    forget()
    return state, fence


def _holder(
    distribution: Distribution, store: Store, plan: RunPlan, held: TrainingState | None
) -> int | None:
    """The first of the ranks that hold the newest state, in memory; None if a checkpoint is newer, or no rank
    holds any."""
    if distribution.size == 1:
        return None if held is None or checkpointed(store, plan) > position(held) else 0
    positions = np.zeros(distribution.size)
    positions[distribution.rank] = position(held)
    positions = distribution.sum(positions)
    if not positions.any():
        return None
    stored = checkpointed(store, plan) if distribution.is_chief else 0
    newest = distribution.sum(np.array([float(stored)]))[0]
    return None if newest > positions.max() else int(positions.argmax())


def _first_state(plan: RunPlan, model: keras.Model, optimizer: keras.optimizers.Optimizer) -> TrainingState:
    """The state of a new run: random weights, or those that the configuration names.

    A whitening is that of the training images, unless the named weights have one.
    """
    if plan.config.data.standardize == ZCA:
        whiten(model, plan)
    if plan.config.model.weights != "none":
        section = plan.config.model
        log.info("%s", load_starting_weights(model, section.weights, network=section.name).text())
    return capture(model, optimizer, Progress(), [])
