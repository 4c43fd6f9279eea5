"""The story of a run on one rank, top to bottom."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from hashlib import sha256
from typing import Any

import keras
import numpy as np

from trainer.checkpoints.background import Background
from trainer.checkpoints.restore import restore
from trainer.checkpoints.state import TrainingState, pack, unpack
from trainer.config import RunConfig
from trainer.config.sections import RunSection
from trainer.distribution import Distribution, environment
from trainer.distribution.agreement import Agreement, agree
from trainer.distribution.rank_status import Phase, report_phase
from trainer.errors import Interrupted, RankLost
from trainer.evaluation.tally import Tally
from trainer.models.starting_weights import load_starting_weights
from trainer.models.weights_file import load_weights_file
from trainer.models.whitening_limit import ZCA
from trainer.observability.metrics import RunMetrics
from trainer.output.progress import EpochBar, epoch_bar
from trainer.runs import layout
from trainer.runs.claim import claim_folder, is_begun
from trainer.runs.document import Finished, Reached
from trainer.runs.fence import Fence
from trainer.runs.history import metric_of
from trainer.storage import Store, join
from trainer.training import callback_state
from trainer.training.audit import Auditor
from trainer.training.audit.place import place
from trainer.training.callbacks import BestWeights, History, ProgressLog, from_config
from trainer.training.data import RankData
from trainer.training.finite import Diverged, check_metrics
from trainer.training.loop import Loop, Outcome, StopVoted
from trainer.training.plan import Plan
from trainer.training.results.publish import Publisher
from trainer.training.results.timer import Timer, earlier
from trainer.training.saver import saver
from trainer.training.schedule import Schedule
from trainer.training.setup.agreement import agreement_document
from trainer.training.setup.build import build, uses_xla
from trainer.training.setup.whiten import whiten
from trainer.training.state import Progress, assign, capture, check_position
from trainer.training.step import TrainStep, balanced_class_weights
from trainer.training.transient_errors import transient_errors

log = logging.getLogger(__name__)

TEST = "test"
SHOWN = ("loss", "accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy")
"""The metrics of the log's last lines."""


def train(
    plan: Plan,
    store: Store,
    distribution: Distribution,
    stop: threading.Event,
    metrics: RunMetrics,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Finished:
    """Trains one model to its last epoch on every rank of `distribution`; `store` is the run's folder.

    Raises:
        ConfigError, DataError, RunError: what is invalid (exit 64).
        Interrupted: `stop` was set, a newer generation took over, or a rank was lost (exit 75, or 64 where
            another run took the folder); committed work is kept.
    """
    callback_state.check(callbacks)
    config = plan.config
    model, optimizer = build(plan, scope=distribution.scope)
    agree(distribution, Agreement(agreement_document(plan, store.url, callbacks), place()))
    restored, fence = _agree_on_state(store, plan, distribution, model, optimizer, metrics)
    progress = assign(restored, model, optimizer)
    check_position(progress, plan.steps_per_epoch)
    plan.check_epochs(progress.step, progress.epochs_closed)
    background = Background(store.url)
    publisher = Publisher(store, fence, background, plan, model)
    validated = plan.split("validation") is not None
    best = BestWeights(
        config.run.monitor,
        progress.history,
        lambda: publisher.weights("best"),
        validated=validated,
    )
    history = History(lambda: publisher.history(progress.history))
    callbacks = [*from_config(config.train, validated=validated), best, history, *callbacks]
    publisher.reopen()
    if distribution.is_chief:
        callback_state.warn_of_unsaved(callbacks)
        _log_start(plan, distribution, progress)
        _log_monitors(config, validated=validated)

    data = RankData(plan, distribution)
    step = make_step(plan, distribution, data, model, optimizer)
    with (
        _auditor(plan, distribution, data, step, progress, fence, metrics) as auditor,
        transient_errors(),
        epoch_bar(config.train.epochs) if distribution.is_chief else nullcontext() as bar,
        saver(
            store, fence, background, config.run, progress, metrics, lambda: _best_step(best, plan)
        ) as save,
        data.training(progress.step) as batches,
    ):
        loop = Loop(
            plan=plan,
            distribution=distribution,
            data=data,
            model=model,
            step=step,
            callbacks=callbacks,
            progress_log=_progress_log(plan, bar) if distribution.is_chief else None,
            progress=progress,
            save=save,
            stop=stop,
            metrics=metrics,
            timer=_timer(store, fence, distribution, progress, publisher),
            auditor=auditor,
        )
        try:
            outcome = loop.run(batches, restored)
        except RankLost:
            save.rescue(progress, loop.capture)
            raise
        save.finish(loop.capture)
        if outcome is Outcome.FINISHED:
            loop.end()
            try:
                finished = _publish_results(publisher, loop, best, lambda: save.tidy(stop.is_set))
                distribution.barrier()
                return finished
            except StopVoted:
                pass
        distribution.barrier()
        raise Interrupted(
            f"stopped on request after step {progress.step}, which is saved",
            "Start it again and it resumes from there",
        )


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
        label_smoothing=plan.config.train.label_smoothing,
        schedule=Schedule(plan.config.train, plan.steps_per_epoch),
        xla=uses_xla(plan.config.train),
        exchange_dtype=plan.config.distribution.exchange,
    )


@contextmanager
def _auditor(
    plan: Plan,
    distribution: Distribution,
    data: RankData,
    step: TrainStep,
    progress: Progress,
    fence: Fence | None,
    metrics: RunMetrics,
) -> Iterator[Auditor | None]:
    """None where the run has no audits. What they took is logged at the end."""
    if plan.config.train.audit is None:
        yield None
        return
    began, auditor = time.monotonic(), Auditor(plan, distribution, data, step, progress, fence, metrics)
    with closing(auditor):
        yield auditor
    if fence:
        share = auditor.seconds / (time.monotonic() - began)
        log.info("%d audits passed, which took %.2f %% of the time", auditor.passed, 100 * share)


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
        # Before the folder is claimed: what is refused leaves nothing there.
        first_state = None if is_begun(store) else _first_state(plan, model, optimizer)
        fence, first = claim_folder(store, plan.document, environment.holder())
        metrics.begin_run(generation=fence.number, world_size=distribution.size, total_steps=plan.total_steps)
        restored = restore(store, generation=first, identity=plan.identity)
        state = restored or first_state or _first_state(plan, model, optimizer)
    if distribution.size > 1:
        state = unpack(distribution.broadcast_bytes(pack(state) if state else b""))
    assert state is not None
    return state, fence


def _first_state(plan: Plan, model: keras.Model, optimizer: keras.optimizers.Optimizer) -> TrainingState:
    """The state of a new run: random weights, or those that the configuration names.

    A whitening is that of the training images, but where the named weights have one of their own.
    """
    if plan.config.data.standardize == ZCA:
        whiten(model, plan)
    if plan.config.model.weights != "none":
        own = plan.config.model
        log.info("%s", load_starting_weights(model, own.weights, network=own.name).text())
    return capture(model, optimizer, Progress(), [])


def _timer(
    store: Store, fence: Fence | None, distribution: Distribution, progress: Progress, publisher: Publisher
) -> Timer:
    before = earlier(store, progress.epochs_closed) if fence else []
    return Timer(fence.number if fence else 0, distribution.size, before, publisher.timing)


def _best_step(best: BestWeights, plan: Plan) -> int | None:
    return None if best.best_epoch is None else (best.best_epoch + 1) * plan.steps_per_epoch


def _publish_results(
    publisher: Publisher, loop: Loop, best: BestWeights, tidy: Callable[[], None]
) -> Finished:
    """Evaluates the last and the best weights on the test split, and publishes what people download.

    Afterwards the model holds the best weights, where there are any.
    """
    report_phase(Phase.PUBLISHING)
    history = loop.progress.history
    epoch = callback_state.restored_epoch(loop.callbacks, len(history) - 1)
    tested, tally = _test(loop)
    last = Reached(epoch + 1, history[epoch] | tested)
    which: layout.Which = "last"
    digest = publisher.weights(which)
    digests, reached = {"last": digest}, None
    step = _best_step(best, loop.plan)
    if best.best_epoch is not None and step is not None:
        content = loop.distribution.broadcast_bytes(publisher.best_weights(best.sha256, step))
        metrics = last.metrics
        if content and best.best_epoch + 1 != last.epoch:
            load_weights_file(loop.model, content)
            tested, tally = _test(loop)
            metrics = history[best.best_epoch] | tested
        if content:
            which, digest = "best", sha256(content).hexdigest()
            digests["best"] = digest
            reached = Reached(best.best_epoch + 1, metrics)
    finished = Finished(
        epochs=loop.progress.epochs_closed,
        steps=loop.progress.step,
        stopped_early=loop.progress.epochs_closed < loop.plan.config.train.epochs,
        last=last,
        best=reached,
        early_stopping=_early_stopping(loop.plan),
    )
    publisher.metrics(history)
    publisher.card(finished)
    publisher.discard_evaluations(digests)
    if tested:
        total = _over_all_ranks(tally, loop)
        total.loss = finished.published.metrics[f"{TEST}_loss"] * total.rows
        publisher.evaluation(TEST, which, digest or "", total, finished)
    publisher.report(history, finished, loop.timer.rows)
    publisher.keras_model()
    tidy()
    finished = publisher.finished(finished)
    if loop.distribution.is_chief:
        log_end(finished, loop.plan.config.run)
    return finished


def _early_stopping(plan: Plan) -> dict[str, Any] | None:
    section = plan.config.train.early_stopping
    return section.model_dump(mode="json") if section else None


def _test(loop: Loop) -> tuple[dict[str, float], Tally]:
    """The metrics of the model's present weights on the test split, and the tally of this rank's rows; no
    metrics where there is no such split."""
    tally = Tally(len(loop.plan.dataset.classes))
    sums = loop.evaluate(TEST, tally)
    metrics = sums.means("test_") if sums else {}
    check_metrics(metrics, loop.progress.epochs_closed - 1)
    return metrics, tally


def _over_all_ranks(tally: Tally, loop: Loop) -> Tally:
    """Raises Diverged where a rank left rows out, since their probabilities are not finite."""
    distribution, rows = loop.distribution, loop.plan.dataset.split(TEST).rows
    total = tally.summed(distribution.sum, distribution.rank, distribution.size)
    if total.rows != rows:
        raise Diverged(f"the probabilities of {rows - total.rows:,} images of the test split are not finite")
    return total


def log_end(finished: Finished, run: RunSection) -> None:
    """Logs where the weights are, and what each of them reached."""
    folder = join(run.url, layout.WEIGHTS)
    log.info("finished: %d epochs, %d steps; the weights are in %s/", finished.epochs, finished.steps, folder)
    if finished.best:
        metric = metric_of(run.monitor, validated=run.monitor in finished.best.metrics)
        _log_reached("best", finished.best, f"the best by {metric}", model=True)
    _log_reached("last", finished.last, "the last", model=not finished.best)


def _log_reached(which: layout.Which, reached: Reached, why: str, *, model: bool) -> None:
    names = [layout.weights(which), *([layout.KERAS_MODEL] if model else [])]
    log.info(
        "%s, of epoch %d, %s: %s",
        *(" and ".join(map(layout.file_name, names)), reached.epoch, why),
        "  ".join(f"{name} {reached.metrics[name]:.4f}" for name in SHOWN if name in reached.metrics),
    )


def _devices(distribution: Distribution) -> str:
    if distribution.replicas > 1:
        return f"{distribution.replicas} replicas of one process"
    return "1 rank" if distribution.size == 1 else f"{distribution.size} ranks"


def _class_weights(plan: Plan) -> np.ndarray | None:
    split = plan.split("train")
    if plan.config.train.class_weight == "none" or split is None:
        return None
    return balanced_class_weights(np.bincount(split.labels, minlength=len(plan.dataset.classes)))


def _progress_log(plan: Plan, bar: EpochBar | None) -> ProgressLog:
    return ProgressLog(plan.config.train.epochs, plan.steps_per_epoch, plan.config.train.batch_size, bar)


def _log_monitors(config: RunConfig, *, validated: bool) -> None:
    sections = {
        "run.monitor": config.run,
        "train.early_stopping.monitor": config.train.early_stopping,
        "train.reduce_lr_on_plateau.monitor": config.train.reduce_lr_on_plateau,
    }
    others = [
        f"{key} is {metric}"
        for key, section in sections.items()
        if section and (metric := metric_of(section.monitor, validated=validated)) != section.monitor
    ]
    if others:
        log.info("there is no validation split: %s, of the training", ", ".join(others))


def _log_start(plan: Plan, distribution: Distribution, progress: Progress) -> None:
    config = plan.config
    log.info(
        "training %s on %s: %s images of %d classes, %d epochs of %d steps, global batch %d on %s",
        *(config.model.name, plan.dataset.url),
        *(f"{plan.dataset.split('train').rows:,}", len(plan.dataset.classes)),
        *(config.train.epochs, plan.steps_per_epoch, config.train.batch_size),
        _devices(distribution),
    )
    if progress.step:
        log.info("resuming at step %d (epoch %d)", progress.step, progress.step // plan.steps_per_epoch + 1)
