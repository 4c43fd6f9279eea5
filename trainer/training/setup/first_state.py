"""The first state of a run: a checkpoint, weights that the configuration names, or random ones."""

import logging

import keras

from trainer.checkpoints.restore import restore
from trainer.checkpoints.training_state import TrainingState, pack, unpack
from trainer.distribution import Distribution, rank_variables
from trainer.models.starting_weights import load_starting_weights
from trainer.models.whitening_limit import ZCA
from trainer.observability.metrics import RunMetrics
from trainer.runs.claim import claim_folder, is_begun
from trainer.runs.fence import Fence
from trainer.storage import Store
from trainer.training.run_plan import RunPlan
from trainer.training.run_state import Progress, capture
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
    """The chief takes the token and restores the newest whole checkpoint; all ranks return its state."""
    fence, state = None, None
    if distribution.is_chief:
        # Before the folder is claimed: what is refused leaves nothing there.
        first_state = None if is_begun(store) else _first_state(plan, model, optimizer)
        fence, first = claim_folder(store, plan.document, rank_variables.holder())
        metrics.begin_run(generation=fence.number, world_size=distribution.size, total_steps=plan.total_steps)
        restored = restore(store, generation=first, identity=plan.identity)
        state = restored or first_state or _first_state(plan, model, optimizer)
    if distribution.size > 1:
        state = unpack(distribution.broadcast_bytes(pack(state) if state else b""))
    assert state is not None
    return state, fence


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
