"""`trainer train --check`: what a run does is tried with a few images, nothing is kept, the plan is shown."""

import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainer import interrupts
from trainer.config import RunConfig
from trainer.distribution import launchers
from trainer.errors import DataError
from trainer.machine import gpus
from trainer.machine.cores import usable_cores
from trainer.observability.tensorflow_import import quiet_tensorflow_import
from trainer.reporting.usage import Usage
from trainer.runs import layout
from trainer.runs.claim import check_identity, check_resumable
from trainer.runs.run_document import already_finished
from trainer.storage import Store, join, open_store
from trainer.training.run_plan import RunPlan, make_plan, resume_step
from trainer.training.setup.left_out import left_out

if TYPE_CHECKING:
    from trainer.training.setup.build_network import Footprint
    from trainer.training.setup.dry_run import TriedOut


@dataclass(frozen=True)
class PlannedPhase:
    """A phase of a run that `train.phases` names.

    Attributes:
        phase: which it is, with its learning rate and what is frozen, in words.
        epochs: of the phase.
        trained: the parameters that are not frozen.
    """

    phase: str
    epochs: int
    trained: int


@dataclass(frozen=True)
class Checked:
    """What a run would do.

    Attributes:
        recipe: with recipe auto what was chosen, why, and how to change it; else empty.
        dataset: URL.
        classes: their number.
        image_shape: (H, W, C) of what the network is given.
        rows: split -> images.
        epochs: of the run.
        steps_per_epoch: batches.
        total_steps: of all epochs.
        batch_size: images of a step, over all ranks.
        ranks: of the run.
        lanes: of all ranks.
        network: by its name in the configuration.
        parameters: the network's.
        trained: those that are not frozen, in the phase that trains most.
        phases: those of `train.phases`; empty without.
        optimizer: its name and arguments.
        run: URL of the run's folder.
        weights: URLs of the weights that it publishes.
        checkpoints: where they go, how often, and how many are kept, in words.
        metrics: URL of metrics.csv.
        lanes_per_rank: the most that one rank has.
        images_at_once: that a rank computes at once.
        step_bytes: an estimate of one rank's memory; see `trainer.training.setup.build_network.Footprint`.
        left_out: sentences about what a run silently leaves out.
        state: `new`, `resumes at step N` or `finished`.
        estimate: what the epochs would take on this machine: of steps and validation, by a few images.
        cost: what these hours would cost by `run.price`; null without a price.
        currency: of the cost; null without a price.
        tried: what was tried -> seconds.
    """

    recipe: tuple[str, ...]
    dataset: str
    classes: int
    image_shape: tuple[int, int, int]
    rows: Mapping[str, int]
    left_out: tuple[str, ...]
    epochs: int
    steps_per_epoch: int
    total_steps: int
    batch_size: int
    ranks: int
    lanes: int
    lanes_per_rank: int
    images_at_once: int
    network: str
    parameters: int
    trained: int
    phases: tuple[PlannedPhase, ...]
    optimizer: Mapping[str, Any]
    step_bytes: int
    run: str
    state: str
    weights: tuple[str, ...]
    checkpoints: str
    metrics: str
    estimate: Usage
    cost: float | None
    currency: str | None
    tried: Mapping[str, float]


def check(config: RunConfig, ranks: int, recipe: tuple[str, ...] = ()) -> Checked:
    """Reads of every split, writes a probe into the run's folder, builds the network and the optimizer, loads
    the starting weights of a new run, exports the model and loads it, makes a step and a validation batch.

    `recipe`: lines on a recipe that was chosen. Under `distribution.strategy: mirrored` on as many replicas;
    of several ranks one is tried. Leaves nothing behind, but for ImageNet's weights in Keras's folder. Raises
    ConfigError, DataError, RunError as the run itself would, and the store's errors.
    """
    launchers.refuse_place("--check")
    gpus.check_ranks(ranks, gpus.visible_gpus(os.environ))
    without_cache = config.data.model_copy(update={"cache": None})
    plan = make_plan(config.model_copy(update={"data": without_cache}), ranks)
    store = open_store(config.run.url)
    check_identity(store, plan.identity)
    state = _state(store, plan)
    if state != "finished":
        check_resumable(store)
    began = time.monotonic()
    _read_a_row_of_each_split(plan)
    _write_and_delete(store)
    stores = time.monotonic() - began
    with quiet_tensorflow_import():
        from trainer.distribution import connect
        from trainer.models.starting_weights import load_starting_weights
        from trainer.training.audit.device import has_gpu
        from trainer.training.callbacks import callback_state
        from trainer.training.callbacks.own_named import own_callbacks
        from trainer.training.setup.build_network import build, footprint, setup_tensorflow
        from trainer.training.setup.dry_run import try_out

    setup_tensorflow(config)
    callback_state.check(own_callbacks(config.train))
    distribution = connect(replicas=ranks if config.distribution.strategy == "mirrored" else 1)
    began = time.monotonic()
    needed = footprint(plan)
    model, optimizer = build(plan, needed, scope=distribution.scope)
    built = time.monotonic()
    tried = {"stores": stores, "network": built - began}
    if state == "new" and config.model.weights != "none":
        load_starting_weights(model, config.model.weights, network=config.model.name)
        tried["starting weights"] = time.monotonic() - built
    tried_out = try_out(plan, distribution, model, optimizer)
    tried |= tried_out.seconds
    usage = estimate(plan, tried_out, gpus=has_gpu(), cores=usable_cores())
    price = config.run.price
    every = config.run.checkpoint.every
    url = store.url
    return Checked(
        recipe=recipe,
        dataset=plan.dataset.url,
        classes=len(plan.dataset.classes),
        image_shape=plan.image_shape,
        rows={name: split.rows for name, split in plan.dataset.splits.items()},
        left_out=tuple(left_out(plan)),
        epochs=config.train.epochs,
        steps_per_epoch=plan.steps_per_epoch,
        total_steps=plan.total_steps,
        batch_size=config.train.batch_size,
        ranks=ranks,
        lanes=plan.lanes,
        lanes_per_rank=-(-plan.lanes // ranks),
        images_at_once=plan.micro_rows,
        network=config.model.name,
        parameters=needed.parameters,
        trained=max(needed.trained),
        phases=_phases(plan, needed),
        optimizer=config.train.optimizer.model_dump(),
        step_bytes=needed.step_bytes,
        run=url,
        state=state,
        weights=(join(url, layout.weights("best")), join(url, layout.weights("last"))),
        checkpoints=f"{join(url, layout.CHECKPOINTS)}, {every.describe()}, the last "
        f"{config.run.checkpoint.keep_last} kept",
        metrics=join(url, layout.METRICS),
        estimate=usage,
        cost=round(usage.cost(price), 4) if price else None,
        currency=price.currency if price else None,
        tried=tried,
    )


def estimate(plan: RunPlan, tried: "TriedOut", *, gpus: bool, cores: float) -> Usage:
    """What the epochs of a run would take on this machine, whose cores its ranks share; each has a GPU of its
    own, if there are any.

    Start, reading, checkpoints and the exchange between ranks are not in it.
    """
    train, validation = plan.config.train, plan.split("validation")
    images = plan.steps_per_epoch * train.batch_size
    seconds = sum(phase.epochs * images * one for phase, one in zip(plan.phases, tried.trained, strict=True))
    if validation:
        seconds += train.epochs // train.validation_freq * validation.rows * tried.validated
    mirrored = plan.config.distribution.strategy == "mirrored"
    seconds /= plan.ranks if gpus and not mirrored else 1
    hours = seconds / 3600
    return Usage(
        round(seconds, 1),
        round(hours * (1 if mirrored else plan.ranks), 4),
        round(hours * plan.ranks, 4) if gpus else 0.0,
        round(hours * cores, 4),
    )


def _phases(plan: RunPlan, needed: "Footprint") -> tuple[PlannedPhase, ...]:
    if len(plan.phases) == 1:
        return ()
    return tuple(
        PlannedPhase(phase.describe(), phase.epochs, trained)
        for phase, trained in zip(plan.phases, needed.trained, strict=True)
    )


def _state(store: Store, plan: RunPlan) -> str:
    if already_finished(store, plan.config.train):
        return "finished"
    step = resume_step(store)
    if step is None:
        return "new"
    plan.check_epochs(step)
    return f"resumes at step {step}"


def _read_a_row_of_each_split(plan: RunPlan) -> None:
    """From its first and its last object, as they were indexed."""
    for split in plan.dataset.splits.values():
        for chunk in (split.chunks[0], split.chunks[-1]):
            start = int(chunk["offset"])
            try:
                stop = start + min(split.row_bytes, int(chunk["length"]))
                split.read(int(chunk["object"]), start, stop)
            except EOFError as error:
                raise DataError(str(error), "Prepare the dataset again") from None


def _write_and_delete(store: Store) -> None:
    key = f".check-{uuid.uuid4().hex}"
    with interrupts.unwinding(), store.no_folders_left():
        try:
            store.put(key, b"written by `trainer train --check`")
            store.get(key)
        finally:
            store.delete(key)
