"""The story of a run on one rank, top to bottom."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext

import keras

from trainer.config import RunConfig
from trainer.distribution import Distribution, rank_variables
from trainer.distribution.agreement import Agreement, agree
from trainer.distribution.handover import forget
from trainer.distribution.rank_variables import is_supervised
from trainer.distribution.stop_cause import StopCause
from trainer.errors import EXIT_INTERRUPTED, RankLost, TransientError
from trainer.machine.cores import usable_cores
from trainer.observability.log import is_verbose, log_as
from trainer.observability.metrics import RunMetrics
from trainer.output.progress import EpochBar, epoch_bar
from trainer.output.units import plural
from trainer.runs.background_writer import Background
from trainer.runs.fence import Fence
from trainer.runs.history import metric_of
from trainer.runs.run_document import RunResult
from trainer.storage import Store
from trainer.training.audit import Auditor
from trainer.training.audit.device import describe_device, has_gpu
from trainer.training.callbacks import callback_state
from trainer.training.callbacks.own_named import own_callbacks
from trainer.training.callbacks.trainer_callbacks import BestWeights, History, ProgressLog, from_config
from trainer.training.data import RankData
from trainer.training.evaluator import Evaluator, StopVoted
from trainer.training.finish import publish_results
from trainer.training.loop import Loop, Outcome
from trainer.training.recovery.rejoin import Recovery
from trainer.training.results.publish import Publisher
from trainer.training.results.timer import Timer, read_previous_epochs
from trainer.training.run_plan import RunPlan
from trainer.training.run_state import Progress, assign, check_position
from trainer.training.saver import saver
from trainer.training.setup.agreement_document import agreement_document
from trainer.training.setup.build_network import build
from trainer.training.setup.first_state import agree_on_state
from trainer.training.setup.network_steps import TrainedNetwork
from trainer.training.setup.positions import phases_ended
from trainer.training.step import TrainStep
from trainer.training.transient_errors import transient_errors

log = logging.getLogger(__name__)


def train(
    plan: RunPlan,
    store: Store,
    distribution: Distribution,
    stop: threading.Event,
    metrics: RunMetrics,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> RunResult:
    """Trains one model to its last epoch on every rank of `distribution`; `store` is the run's folder.

    Raises:
        ConfigError, DataError, RunError: what is invalid (exit 64).
        TransientError: `stop` was set, a newer generation took over, or a rank was lost (exit 75, or 64 where
            another run took the folder); committed work is kept.
    """
    callbacks = [*own_callbacks(plan.config.train), *callbacks]
    callback_state.check(callbacks)
    model, optimizer = build(plan, scope=distribution.scope)
    cause = StopCause(stop)
    network, recovery = TrainedNetwork(model, optimizer), Recovery(distribution, store, cause)
    while True:
        plan = plan.at(distribution.size * distribution.replicas)
        metrics.move(distribution.rank)
        log_as(distribution.rank)
        try:
            return _train_generation(plan, store, distribution, cause, metrics, callbacks, network, recovery)
        except RankLost as error:
            lost = error.with_traceback(None)  # which holds what the generation had in memory
            lost.__context__ = None
        if not recovery.rejoin(lost, plan):
            raise lost


def _train_generation(
    plan: RunPlan,
    store: Store,
    distribution: Distribution,
    stop: StopCause,
    metrics: RunMetrics,
    callbacks: Sequence[keras.callbacks.Callback],
    network: TrainedNetwork,
    recovery: Recovery,
) -> RunResult:
    """Trains with the ranks of one generation. Raises what `train` does."""
    config, model = plan.config, network.model
    document = agreement_document(plan, store.url, callbacks, model.weights)
    agree(distribution, Agreement(document, describe_device()))
    with transient_errors() if recovery.rejoined else nullcontext():
        first = agree_on_state(store, plan, distribution, model, network.optimizer, metrics)
    recovery.mark("broadcast")
    restored, fence = first.state, first.fence
    data = RankData(plan, distribution)
    network.enter(plan, distribution, phases_ended(restored))
    progress = assign(restored, model, network.optimizer)
    check_position(progress, plan.steps_per_epoch)
    plan.check_epochs(progress.step, progress.epochs_closed, progress.phases)
    background = Background(store.url)
    publisher = Publisher(store, fence, background, plan, model)
    validated = plan.split("validation") is not None
    best = BestWeights(
        config.run.monitor,
        progress.history,
        lambda: publisher.weights("best"),
        steps_per_epoch=plan.steps_per_epoch,
        validated=validated,
    )
    history = History(lambda: publisher.history(progress.history))
    callbacks = [*from_config(config.train, validated=validated), best, history, *callbacks]
    publisher.reopen()
    if distribution.is_chief:
        callback_state.warn_of_unsaved(callbacks)
        _log_start(plan, distribution, progress)
        _log_monitors(config, validated=validated)

    step, evaluation = network.steps(plan, distribution, data, progress.exponents)
    with (
        _auditor(plan, distribution, data, step, progress, fence, metrics) as auditor,
        transient_errors(),
        epoch_bar(config.train.epochs) if distribution.is_chief else nullcontext() as bar,
        saver(
            *(store, fence, background, config.run, progress, metrics, lambda: best.best_step),
            unsaved=first.unsaved,
        ) as save,
        data.training(progress.step) as batches,
    ):
        loop = Loop(
            plan=plan,
            distribution=distribution,
            data=data,
            network=network,
            step=step,
            evaluator=Evaluator(plan, distribution, data, evaluation, stop),
            callbacks=callbacks,
            progress_log=_progress_log(plan, bar) if distribution.is_chief else None,
            progress=progress,
            save=save,
            stop=stop,
            metrics=metrics,
            timer=_timer(store, fence, distribution, progress, publisher),
            auditor=auditor,
            after_step=recovery.first_step,
        )
        try:
            outcome = loop.run(batches, restored)
            if outcome is Outcome.STOPPED:
                recovery.secure(loop.capture)
            save.finish(loop.capture)
            distribution.barrier()  # so that each rank holds its state until the last one is committed
            if outcome is Outcome.STOPPED and recovery.is_possible and stop.wait_for_the_end():
                raise RankLost("the generation has ended")
        except RankLost:
            if recovery.keep(loop.capture()):
                save.settle()
            else:
                save.rescue(progress, loop.capture)
            raise
        recovery.over = True
        if outcome is Outcome.FINISHED:
            loop.end()
            try:
                finished = publish_results(publisher, loop, best, lambda: save.tidy(stop.is_set))
                distribution.barrier()
                return finished
            except StopVoted:
                distribution.barrier()
        forget()
        if is_supervised():  # it decides what follows, and says it
            log.info("stopped after step %d, which is saved", progress.step)
            raise SystemExit(EXIT_INTERRUPTED)
        raise TransientError(
            f"stopped on request; step {progress.step} is saved",
            "Restart to resume",
        )


@contextmanager
def _auditor(
    plan: RunPlan,
    distribution: Distribution,
    data: RankData,
    step: TrainStep,
    progress: Progress,
    fence: Fence | None,
    metrics: RunMetrics,
) -> Iterator[Auditor | None]:
    """None where the run has no audits. Their time is logged at the end."""
    if plan.config.train.audit is None:
        yield None
        return
    began, auditor = time.monotonic(), Auditor(plan, distribution, data, step, progress, fence, metrics)
    with closing(auditor):
        yield auditor
    if fence:
        fraction = auditor.seconds / (time.monotonic() - began)
        log.info("%d audits passed (%.2f %% of training time)", auditor.passed, 100 * fraction)


def _timer(
    store: Store, fence: Fence | None, distribution: Distribution, progress: Progress, publisher: Publisher
) -> Timer:
    previous = read_previous_epochs(store, progress.epochs_closed) if fence else []
    devices = distribution.size * distribution.replicas
    return Timer(
        fence.number if fence else 0,
        distribution.size,
        previous,
        publisher.timing,
        gpus=devices if has_gpu() else 0,
        cores=usable_cores() / rank_variables.local_size() * distribution.size,
    )


def _devices(distribution: Distribution) -> str:
    if distribution.replicas > 1:
        return f"{distribution.replicas} replicas of one process"
    return "1 rank" if distribution.size == 1 else f"{distribution.size} ranks"


def _progress_log(plan: RunPlan, bar: EpochBar | None) -> ProgressLog:
    train = plan.config.train
    return ProgressLog(train.epochs, plan.steps_per_epoch, train.batch_size, bar, every_step=is_verbose())


def _log_monitors(config: RunConfig, *, validated: bool) -> None:
    sections = {
        "run.monitor": config.run,
        "train.early_stopping.monitor": config.train.early_stopping,
        "train.reduce_lr_on_plateau.monitor": config.train.reduce_lr_on_plateau,
    }
    replaced = [
        f"{key} is {metric}"
        for key, section in sections.items()
        if section and (metric := metric_of(section.monitor, validated=validated)) != section.monitor
    ]
    if replaced:
        log.info("no validation split: %s, of the training", ", ".join(replaced))


def _log_start(plan: RunPlan, distribution: Distribution, progress: Progress) -> None:
    config = plan.config
    log.info(
        "training %s on %s: %s of %s, %s of %s, global batch %d on %s",
        *(config.model.name, plan.dataset.url),
        plural(plan.dataset.split("train").rows, "image"),
        plural(len(plan.dataset.classes), "class"),
        plural(config.train.epochs, "epoch"),
        plural(plan.steps_per_epoch, "step"),
        config.train.batch_size,
        _devices(distribution),
    )
    if progress.step:
        log.info("resuming at step %d (epoch %d)", progress.step, progress.step // plan.steps_per_epoch + 1)
    log.info("the first step is compiled, which takes a while")
