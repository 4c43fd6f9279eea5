"""The story of a run on one rank, top to bottom."""

import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

import keras
import numpy as np
import tensorflow as tf

from trainer import models
from trainer.config import RunConfig
from trainer.distribution import Distribution
from trainer.errors import ConfigError, Interrupted
from trainer.models.export import keras_file
from trainer.models.files import weights_file
from trainer.models.freeze import freeze
from trainer.models.weights import load_starting_weights
from trainer.observability import metrics
from trainer.runs import FINISHED, METRICS
from trainer.storage import Store
from trainer.training import folder
from trainer.training.callbacks import BestWeights, History, Story, from_config
from trainer.training.card import Results, card
from trainer.training.checkpoint import Fence, State, pack, publish, restore, unpack
from trainer.training.data import Data
from trainer.training.loop import End, Loop
from trainer.training.passing import passing_causes
from trainer.training.plan import Plan
from trainer.training.saving import saver
from trainer.training.state import Progress, assign, capture, warn_of_forgetful
from trainer.training.step import TrainStep, balanced_class_weights

log = logging.getLogger(__name__)

BEST = "weights/best.weights.h5"


@dataclass(frozen=True)
class Summary:
    """A finished run: means over the test split where there is one, and where its weights lie."""

    url: str
    steps: int
    epochs: int
    figures: dict[str, float]


def train(
    plan: Plan,
    store: Store,
    distribution: Distribution,
    stop: threading.Event,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Summary:
    """Trains one model to its last epoch on every rank of `distribution`; `store` is the run's folder.

    Raises:
        ConfigError, DataError, RunError: what a person has to mend (exit 64).
        Interrupted: `stop` was set, a newer generation took over, or a rank was lost (exit 75); committed
            work is kept.
    """
    config = plan.config
    _setup_tensorflow(config)
    model, optimizer = build(plan)
    progress, restored, fence = _agree_on_state(store, plan, distribution, model, optimizer)

    def publish_file(key: str, content: Callable[[], bytes]) -> None:
        """What people download, from the chief alone."""
        if fence:
            publish(store, fence, key, content())

    best = BestWeights(
        config.run.monitor,
        lambda: publish_file(BEST, lambda: weights_file(model)),
    )
    history = History(lambda: publish_file(METRICS, lambda: folder.metrics_csv(progress.history)))
    callbacks = [*from_config(config.train), best, history, *callbacks]
    story = Story(config.train.epochs, plan.steps_per_epoch, config.train.batch_size)
    data = Data(plan, distribution)
    step = make_step(plan, distribution, data, model, optimizer)
    if distribution.is_chief:
        warn_of_forgetful(callbacks)
        _say_start(plan, distribution, progress)

    def best_step() -> int | None:
        return None if best.best_epoch is None else (best.best_epoch + 1) * plan.steps_per_epoch

    with (
        passing_causes(),
        saver(store, fence, config.run, progress, best_step) as save,
        closing(data.training(progress.step)) as batches,
    ):
        loop = Loop(
            plan=plan,
            distribution=distribution,
            data=data,
            model=model,
            step=step,
            callbacks=callbacks,
            story=story if distribution.is_chief else None,
            progress=progress,
            save=save,
            stop=stop,
        )
        end = loop.run(batches, restored)
        save.finish(loop.capture)
        if end is End.STOPPED:
            distribution.barrier()
            raise Interrupted(
                f"stopped on request after step {progress.step}, which is saved",
                "Start it again and it goes on",
            )
        test = loop.evaluate("test")
        figures = progress.history[-1] | (test.means("test_") if test else {})
        results = Results(progress.history, best.best_epoch, test.means("test_") if test else {})
        publish_file("weights/last.weights.h5", lambda: weights_file(model))
        publish_file("weights/card.md", lambda: card(plan, results, folder.versions()))
        publish_file(
            "weights/model.keras",
            lambda: keras_file(model, store.get(BEST) if best.best is not None else None),
        )
        done = folder.finished_json(
            epochs=progress.epochs_closed,
            steps=progress.step,
            stopped_early=progress.epochs_closed < config.train.epochs,
            figures=figures,
        )
        publish_file(FINISHED, lambda: done)
        if distribution.is_chief:
            shown = "  ".join(f"{name} {value:.4f}" for name, value in figures.items() if "top5" not in name)
            log.info("finished: %d epochs, %d steps  %s", progress.epochs_closed, progress.step, shown)
        distribution.barrier()
    return Summary(config.run.url, progress.step, progress.epochs_closed, figures)


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
            f"train.optimizer: {' '.join(str(error).split())}", "See Keras's optimizers"
        ) from None
    if config.train.mixed_precision:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", jit_compile=False)
    optimizer.build(model.trainable_variables)
    return model, optimizer


def make_step(
    plan: Plan,
    distribution: Distribution,
    data: Data,
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
) -> tuple[Progress, State, Fence | None]:
    """The chief takes the token and restores the newest whole checkpoint; all ranks leave with its state."""
    fence, state = None, None
    if distribution.is_chief:
        folder.claim(store, plan)
        holder = {"host": socket.gethostname(), "pid": os.getpid(), "time": datetime.now(UTC).isoformat()}
        fence = Fence.take(store, holder)
        metrics.GENERATION.labels("0").set(fence.number)
        metrics.WORLD_SIZE.labels("0").set(distribution.size)
        metrics.TOTAL_STEPS.labels("0").set(plan.total_steps)
        state = restore(store) or _beginning(plan, model, optimizer)
    if distribution.size > 1:
        state = unpack(distribution.broadcast_bytes(pack(state) if state else b""))
    assert state is not None
    return assign(state, model, optimizer), state, fence


def _beginning(plan: Plan, model: keras.Model, optimizer: keras.optimizers.Optimizer) -> State:
    """The state of a run that begins: random weights, or those that the configuration names."""
    if plan.config.model.weights != "none":
        log.info("%s", load_starting_weights(model, plan.config.model.weights).text())
    return capture(model, optimizer, Progress(), [])


def _class_weights(plan: Plan) -> np.ndarray | None:
    split = plan.split("train")
    if plan.config.train.class_weight == "none" or split is None:
        return None
    return balanced_class_weights(np.bincount(split.labels, minlength=len(plan.dataset.classes)))


def _say_start(plan: Plan, distribution: Distribution, progress: Progress) -> None:
    config = plan.config
    split = plan.split("train")
    assert split is not None
    log.info(
        "training %s on %s: %s images of %d classes, %d epochs of %d steps, global batch %d on %d rank%s",
        *(config.model.name, plan.dataset.url, f"{split.rows:,}", len(plan.dataset.classes)),
        *(config.train.epochs, plan.steps_per_epoch, config.train.batch_size),
        *(distribution.size, "" if distribution.size == 1 else "s"),
    )
    if progress.step:
        log.info("going on at step %d (epoch %d)", progress.step, progress.step // plan.steps_per_epoch + 1)
