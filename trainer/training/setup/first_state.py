"""The first state of a run: a checkpoint, weights that the configuration names, or random ones."""

import hashlib
import logging
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True)
class FirstState:
    """What a generation begins with.

    Attributes:
        fence: the chief's token; None on the other ranks.
        unsaved: whether the state comes from a rank's memory, and is in no checkpoint.
    """

    state: TrainingState
    fence: Fence | None
    unsaved: bool


def agree_on_state(
    store: Store,
    plan: RunPlan,
    distribution: Distribution,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    metrics: RunMetrics,
) -> FirstState:
    """The chief takes the token. All ranks return the newest state: one that a rank has in memory, or the
    newest whole checkpoint's, which the chief restores."""
    left = handed_over()
    held = unpack(left) if left else None
    newest = _newest(distribution, store, plan, position(held), left or b"")
    fence, state = None, held if newest and distribution.rank == newest.rank else None
    if distribution.is_chief:
        if newest is None:
            # Before the folder is claimed: what is refused leaves nothing there.
            first_state = None if is_begun(store) else _first_state(plan, model, optimizer)
            fence, first = claim_folder(store, plan.document, rank_variables.holder())
            restored = restore(store, generation=first, identity=plan.identity)
            state = restored or first_state or _first_state(plan, model, optimizer)
        else:
            fence = claim_again(store, plan.document, rank_variables.holder())
            log.info("rank %d holds the newest state, in memory", newest.rank)
        metrics.begin_run(generation=fence.number, world_size=distribution.size, total_steps=plan.total_steps)
    if newest and newest.everywhere:
        state = held
    elif distribution.size > 1:
        root = newest.rank if newest else 0
        state = unpack(distribution.broadcast_bytes(pack(state) if state else b"", root))
    assert state is not None
    forget()
    return FirstState(state, fence, unsaved=newest is not None and newest.unsaved)


@dataclass(frozen=True)
class _Newest:
    """The newest state, in memory.

    Attributes:
        rank: the first one that has it.
        everywhere: whether all ranks have it, with the same bits.
        unsaved: whether no checkpoint has it.
    """

    rank: int
    everywhere: bool
    unsaved: bool


def _newest(
    distribution: Distribution, store: Store, plan: RunPlan, held: int, content: bytes
) -> _Newest | None:
    """None if a checkpoint is newer, or no rank holds any state.

    `held` is the position of this rank's state, `content` the state itself.
    """
    table = np.zeros((distribution.size, 2))
    table[distribution.rank] = held, _digest(content)
    positions, digests = _summed(distribution, table.reshape(-1)).reshape(table.shape).T
    if not positions.any():
        return None
    mine = checkpointed(store, plan) if distribution.is_chief else 0
    stored, best = _summed(distribution, np.array([float(mine)]))[0], positions.max()
    if stored > best:
        return None
    # A rank that was cut off may hold the same step of another attempt at it.
    everywhere = bool((positions == best).all() and (digests == digests[0]).all())
    return _Newest(int(positions.argmax()), everywhere, unsaved=bool(stored < best))


def _digest(content: bytes) -> float:
    """48 bits of its SHA-256, which a sum over the ranks keeps."""
    return float(int.from_bytes(hashlib.sha256(content).digest()[:6]))


def _summed(distribution: Distribution, values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values if distribution.size == 1 else distribution.sum(values)


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
