"""The story of a run on one rank, top to bottom."""

import logging
import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import keras
import numpy as np
import tensorflow as tf

from trainer import models
from trainer.checkpoints.restore import restore
from trainer.checkpoints.state import TrainingState, pack, unpack
from trainer.config import RunConfig
from trainer.distribution import Distribution
from trainer.errors import ConfigError, Interrupted
from trainer.models.freeze import freeze
from trainer.models.starting_weights import load_starting_weights
from trainer.observability.metrics import RunMetrics
from trainer.runs.document import Finished, claim_folder
from trainer.runs.fence import Fence
from trainer.storage import Store
from trainer.training.callbacks import BestWeights, History, ProgressLog, from_config
from trainer.training.card import Results
from trainer.training.data import RankData
from trainer.training.loop import Loop, Outcome
from trainer.training.plan import Plan
from trainer.training.publish import Publisher
from trainer.training.saver import saver
from trainer.training.state import Progress, assign, capture, warn_of_unsaved_callbacks
from trainer.training.step import TrainStep, balanced_class_weights
from trainer.training.transient_errors import transient_errors

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinishedRun:
    """A finished run: its last metrics, with those of the test split where there is one, and its folder."""

    url: str
    steps: int
    epochs: int
    metrics: dict[str, float]


def train(
    plan: Plan,
    store: Store,
    distribution: Distribution,
    stop: threading.Event,
    metrics: RunMetrics,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> FinishedRun:
    """Trains one model to its last epoch on every rank of `distribution`; `store` is the run's folder.

    Raises:
        ConfigError, DataError, RunError: what is invalid (exit 64).
        Interrupted: `stop` was set, a newer generation took over, or a rank was lost (exit 75); committed
            work is kept.
    """
    config = plan.config
    _setup_tensorflow(config)
    model, optimizer = build(plan)
    restored, fence = _agree_on_state(store, plan, distribution, model, optimizer, metrics)
    progress = assign(restored, model, optimizer)
    publisher = Publisher(store, fence, plan, model)
    best = BestWeights(config.run.monitor, lambda: publisher.weights("best"))
    history = History(lambda: publisher.history(progress.history))
    callbacks = [*from_config(config.train), best, history, *callbacks]
    if distribution.is_chief:
        warn_of_unsaved_callbacks(callbacks)
        _log_start(plan, distribution, progress)

    data = RankData(plan, distribution)
    with (
        transient_errors(),
        saver(store, fence, config.run, progress, metrics, lambda: _best_step(best, plan)) as save,
        data.training(progress.step) as batches,
    ):
        loop = Loop(
            plan=plan,
            distribution=distribution,
            data=data,
            model=model,
            step=make_step(plan, distribution, data, model, optimizer),
            callbacks=callbacks,
            progress_log=_progress_log(plan) if distribution.is_chief else None,
            progress=progress,
            save=save,
            stop=stop,
            metrics=metrics,
        )
        outcome = loop.run(batches, restored)
        save.finish(loop.capture)
        if outcome is Outcome.STOPPED:
            distribution.barrier()
            raise Interrupted(
                f"stopped on request after step {progress.step}, which is saved",
                "Start it again and it resumes from there",
            )
        finished = _publish_results(publisher, loop, best)
        distribution.barrier()
    return finished


def build(plan: Plan) -> tuple[keras.Model, keras.optimizers.Optimizer]:
    """The network and its optimizer, with the weights that the seed gives.

    Raises ConfigError for an optimizer's argument that Keras does not know.
    """
    config = plan.config
    keras.utils.clear_session()  # layers are named the same in every process
    keras.utils.set_random_seed(config.train.seed)
    keras.config.set_dtype_policy("mixed_float16" if config.train.mixed_precision else "float32")
    model = models.build(config.model.name, plan.image_shape, len(plan.dataset.classes), config.model.options)
    freeze(model, config.model.freeze)
    arguments = config.train.optimizer.model_dump(exclude={"name"})
    try:
        optimizer = keras.optimizers.get({"class_name": config.train.optimizer.name, "config": arguments})
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"train.optimizer: {' '.join(str(error).split())}",
            f"Expected the arguments of keras.optimizers.{config.train.optimizer.name}",
        ) from None
    if config.train.mixed_precision:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", jit_compile=False)
    optimizer.build(model.trainable_variables)
    return model, optimizer


def make_step(
    plan: Plan,
    distribution: Distribution,
    data: RankData,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
) -> TrainStep:
    """The step of this rank."""
    return TrainStep(
        model,
        optimizer,
        distribution,
        batch_size=plan.config.train.batch_size,
        micro_rows=plan.micro_rows,
        micro_lanes=plan.micro_lanes,
        first_lane=data.lanes.start,
        seed=plan.config.train.seed,
        class_weights=_class_weights(plan),
    )


def _setup_tensorflow(config: RunConfig) -> None:
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()


def _agree_on_state(
    store: Store,
    plan: Plan,
    distribution: Distribution,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    metrics: RunMetrics,
) -> tuple[TrainingState, Fence | None]:
    """The chief takes the token and restores the newest whole checkpoint; all ranks return its state."""
    fence, state = None, None
    if distribution.is_chief:
        claim_folder(store, plan.document)
        holder = {"host": socket.gethostname(), "pid": os.getpid(), "time": datetime.now(UTC).isoformat()}
        fence = Fence.take(store, holder)
        metrics.begin_run(generation=fence.number, world_size=distribution.size, total_steps=plan.total_steps)
        state = restore(store) or _first_state(plan, model, optimizer)
    if distribution.size > 1:
        state = unpack(distribution.broadcast_bytes(pack(state) if state else b""))
    assert state is not None
    return state, fence


def _first_state(plan: Plan, model: keras.Model, optimizer: keras.optimizers.Optimizer) -> TrainingState:
    """The state of a new run: random weights, or those that the configuration names."""
    if plan.config.model.weights != "none":
        log.info("%s", load_starting_weights(model, plan.config.model.weights).text())
    return capture(model, optimizer, Progress(), [])


def _best_step(best: BestWeights, plan: Plan) -> int | None:
    return None if best.best_epoch is None else (best.best_epoch + 1) * plan.steps_per_epoch


def _publish_results(publisher: Publisher, loop: Loop, best: BestWeights) -> FinishedRun:
    """Evaluates the finished run on the test split, and publishes what people download."""
    plan, progress = loop.plan, loop.progress
    sums = loop.evaluate("test")
    test = sums.means("test_") if sums else {}
    publisher.weights("last")
    publisher.card(Results(progress.history, best.best_epoch, test))
    publisher.keras_model(best=best.best is not None)
    metrics = progress.history[-1] | test
    publisher.finished(
        Finished(
            epochs=progress.epochs_closed,
            steps=progress.step,
            stopped_early=progress.epochs_closed < plan.config.train.epochs,
            metrics=metrics,
        )
    )
    if loop.distribution.is_chief:
        shown = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items() if "top5" not in name)
        log.info("finished: %d epochs, %d steps  %s", progress.epochs_closed, progress.step, shown)
    return FinishedRun(plan.config.run.url, progress.step, progress.epochs_closed, metrics)


def _class_weights(plan: Plan) -> np.ndarray | None:
    split = plan.split("train")
    if plan.config.train.class_weight == "none" or split is None:
        return None
    return balanced_class_weights(np.bincount(split.labels, minlength=len(plan.dataset.classes)))


def _progress_log(plan: Plan) -> ProgressLog:
    return ProgressLog(plan.config.train.epochs, plan.steps_per_epoch, plan.config.train.batch_size)


def _log_start(plan: Plan, distribution: Distribution, progress: Progress) -> None:
    config = plan.config
    log.info(
        "training %s on %s: %s images of %d classes, %d epochs of %d steps, global batch %d on %d rank%s",
        *(config.model.name, plan.dataset.url),
        *(f"{plan.dataset.split('train').rows:,}", len(plan.dataset.classes)),
        *(config.train.epochs, plan.steps_per_epoch, config.train.batch_size),
        *(distribution.size, "" if distribution.size == 1 else "s"),
    )
    if progress.step:
        log.info("resuming at step %d (epoch %d)", progress.step, progress.step // plan.steps_per_epoch + 1)
