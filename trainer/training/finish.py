"""The end of a run: its weights are tested and published."""

import logging
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from trainer.config.phases import phase_of_epoch
from trainer.config.run_sections import RunSection
from trainer.distribution.rank_status import Phase, report_phase
from trainer.evaluation.tally import Tally
from trainer.models.weights_file import load_weights_file
from trainer.output.units import plural
from trainer.runs import layout
from trainer.runs.history import metric_of
from trainer.runs.run_document import Reached, RunResult
from trainer.storage import join
from trainer.training.callbacks import callback_state
from trainer.training.callbacks.trainer_callbacks import BestWeights
from trainer.training.finite import Diverged, check_metrics
from trainer.training.loop import Loop
from trainer.training.results.publish import Publisher
from trainer.training.run_plan import RunPlan

log = logging.getLogger(__name__)

TEST, VALIDATION = "test", "validation"

LOGGED_METRICS = ("loss", "accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy")
"""The metrics of the log's last lines."""


def publish_results(
    publisher: Publisher, loop: Loop, best: BestWeights, tidy: Callable[[], None]
) -> RunResult:
    """Evaluates the last and the best weights on the test split, and publishes the results. Without one the
    evaluation is that of the published weights on the validation split.

    Afterwards the model holds the best weights, where there are any.
    """
    report_phase(Phase.PUBLISHING)
    history = loop.progress.history
    epoch = callback_state.restored_epoch(loop.callbacks, len(history) - 1)
    tested, tally = _test(loop)
    last = Reached(epoch + 1, history[epoch] | tested)
    which: layout.WeightsName = "last"
    digest = publisher.weights(which)
    digests, reached = {"last": digest}, None
    step = best.best_step
    if best.best_epoch is not None and step is not None:
        content = loop.distribution.broadcast_bytes(publisher.best_weights(best.sha256, step))
        metrics = last.metrics
        if content and best.best_epoch + 1 != last.epoch:
            _freeze_as_in(loop, best.best_epoch)
            load_weights_file(loop.model, content)
            tested, tally = _test(loop)
            metrics = history[best.best_epoch] | tested
        if content:
            which, digest = "best", sha256(content).hexdigest()
            digests["best"] = digest
            reached = Reached(best.best_epoch + 1, metrics)
    finished = RunResult(
        epochs=loop.progress.epochs_closed,
        steps=loop.progress.step,
        stopped_early=loop.progress.phase_epochs < loop.plan.phases[-1].epochs,
        last=last,
        best=reached,
        early_stopping=_early_stopping(loop.plan),
        phases=loop.progress.phases_trained if len(loop.plan.phases) > 1 else (),
    )
    publisher.metrics(history)
    publisher.card(finished)
    publisher.discard_evaluations(digests)
    split, loss = TEST, finished.published.metrics.get(f"{TEST}_loss")
    if not tested:
        validated, tally = _evaluated(loop, VALIDATION, "val_")
        split, loss = VALIDATION, validated.get("val_loss")
    if loss is not None:
        total = _over_all_ranks(tally, loop, split)
        total.loss = loss * total.rows
        publisher.evaluation(split, which, digest or "", total, finished)
    publisher.report(history, finished, loop.timer.rows)
    publisher.keras_model()
    tidy()
    finished = publisher.finished(finished)
    if loop.distribution.is_chief:
        log_end(finished, loop.plan.config.run)
    return finished


def _freeze_as_in(loop: Loop, epoch: int) -> None:
    """Evaluates from now on as in that epoch, counted from 0: with the penalties of its phase's weights."""
    number = phase_of_epoch(loop.progress.phases_trained, epoch)
    if number != len(loop.progress.phases):
        loop.evaluator.step = loop.network.evaluation_of(loop.plan, loop.distribution, number)


def _early_stopping(plan: RunPlan) -> dict[str, Any] | None:
    section = plan.config.train.early_stopping
    return section.model_dump(mode="json") if section else None


def _test(loop: Loop) -> tuple[dict[str, float], Tally]:
    """The metrics of the model's current weights on the test split; see `_evaluated`."""
    return _evaluated(loop, TEST, f"{TEST}_")


def _evaluated(loop: Loop, split: str, prefix: str) -> tuple[dict[str, float], Tally]:
    """The metrics of the model's current weights on a split, and the tally of this rank's rows; no metrics
    where there is no such split."""
    tally = Tally(len(loop.plan.dataset.classes))
    sums = loop.evaluator.evaluate(split, tally)
    metrics = sums.means(prefix) if sums else {}
    check_metrics(metrics, loop.progress.epochs_closed - 1)
    return metrics, tally


def _over_all_ranks(tally: Tally, loop: Loop, split: str) -> Tally:
    """Raises Diverged where a rank left rows out, since their probabilities are not finite."""
    distribution, rows = loop.distribution, loop.plan.dataset.split(split).rows
    total = tally.summed(distribution.sum, distribution.rank, distribution.size)
    if total.rows != rows:
        raise Diverged(
            f"the probabilities of {rows - total.rows:,} images of the {split} split are not finite"
        )
    return total


def log_end(finished: RunResult, run: RunSection) -> None:
    """Logs where the weights are, and what each of them reached."""
    folder = join(run.url, layout.WEIGHTS)
    log.info(
        "finished: %s, %s; the weights are in %s/",
        plural(finished.epochs, "epoch"),
        plural(finished.steps, "step"),
        folder,
    )
    if finished.best:
        metric = metric_of(run.monitor, validated=run.monitor in finished.best.metrics)
        _log_reached("best", finished.best, f"the best by {metric}", model=True)
    _log_reached("last", finished.last, "the last", model=not finished.best)


def _log_reached(which: layout.WeightsName, reached: Reached, reason: str, *, model: bool) -> None:
    names = [layout.weights(which), *([layout.KERAS_MODEL] if model else [])]
    log.info(
        "%s, of epoch %d, %s: %s",
        *(" and ".join(map(layout.file_name, names)), reached.epoch, reason),
        "  ".join(
            f"{name} {reached.metrics[name]:.4f}" for name in LOGGED_METRICS if name in reached.metrics
        ),
    )
