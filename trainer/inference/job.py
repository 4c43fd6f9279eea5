"""A prediction job: its arguments, its plan, its workers, its end."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from trainer.config.load import apply_overrides, read_yaml
from trainer.errors import ConfigError, RunError
from trainer.gang.network.auth import JOB
from trainer.gang.pods import PODS, whole_number
from trainer.inference import config as configuration
from trainer.inference import forms, keys, local, prediction_plan
from trainer.inference.claims import Claims
from trainer.inference.config import PredictConfig
from trainer.inference.network import Network, network_of
from trainer.inference.prediction_plan import PredictionPlan
from trainer.inference.results.prediction_summary import PredictionSummary
from trainer.inference.results.read_errors import check_bad
from trainer.inference.results.summary import read_summary, write_summary
from trainer.inference.sources import ImageSource, open_source
from trainer.machine.processes import LOCAL_WORKER
from trainer.observability.prediction_metrics import JOB_IMAGES, JOB_IMAGES_DONE
from trainer.observability.serving import serve
from trainer.observability.tensorflow_import import quiet_tensorflow_import, require_tensorflow
from trainer.output.progress import progress
from trainer.output.units import plural
from trainer.runs import layout
from trainer.storage import Store, join, open_store
from trainer.urls import lies_in, looks_like_a_url

log = logging.getLogger(__name__)

INDEX = "JOB_COMPLETION_INDEX"
SUMMARY_SECONDS = 30.0
"""How long the other workers wait for the summary of worker 0, before they write it themselves."""
POLL_SECONDS = 1.0


def main(
    path: Path | None,
    arguments: Mapping[str, Any],
    overrides: Sequence[str],
    workers: int = 1,
    command: Sequence[str] | None = None,
) -> PredictionSummary | None:
    """Runs a job with the values of the file, then the options, then `--set`; returns its summary.
    `command`: of a worker process; by default this process's own.

    This is pod number JOB_COMPLETION_INDEX of TRAINER_PODS. Each ends when all parts are done and the summary
    is written: by number 0, or by another one if that takes too long. A worker process of a pod leaves it to
    the pod, and returns None.
    """
    values = dict(read_yaml(path)) if path else {}
    values = apply_overrides(values | dict(arguments), overrides)
    config = configuration.parse(values, str(path) if path else "the command", overrides, arguments)
    forms.check(config.format)
    serve(config.metrics.port)
    environment = {INDEX: "0", PODS: "1", **os.environ}
    index = whole_number(environment, INDEX, 0)
    pods = whole_number(environment, PODS, 1)
    require_tensorflow()
    target = open_store(config.output)
    network = network_of(config)
    source = open_source(config.input, config.split, network.run, allow_private=config.allow_private)
    _check_urls(target.url, source.url, network.url)
    plan = _plan(config, source, target, _bound(config, source, network))
    summary = read_summary(target, plan)
    if summary:
        log.info("%s is finished: nothing to do", target.url)
    while summary is None:
        if workers > 1:
            _in_processes(target, plan, workers, index, pods, command or local.this_command())
        else:
            claims = Claims(target, str(index), index % pods, pods, plan.parts)
            _work(config, source, target, plan, claims, network)
        if LOCAL_WORKER in os.environ:
            return None
        newest = prediction_plan.read(target)
        if newest and newest[0].digest != plan.digest:  # another worker has extended it
            plan = newest[0]
            summary = read_summary(target, plan)
            continue
        summary = _summary_of_another(target, plan) if index else None
        summary = summary or _finish(config, source, target, plan)
    check_bad(summary["failed"], summary["images"], config.max_bad_fraction, target)
    return summary


def _check_urls(output: str, source: str, run: str) -> None:
    """Raises ConfigError for an output inside the input, or inside a folder of the run."""
    if lies_in(output, source):
        raise ConfigError(
            f"output: {output} is inside the input {source}, where it would be read as images",
            "Choose a folder beside the input",
        )
    if any(lies_in(source, join(output, folder)) for folder in keys.FOLDERS):
        raise ConfigError(
            f"output: the input {source} is one of the folders of the predictions in {output}",
            "Choose a folder beside the input",
        )
    if not looks_like_a_url(run):  # keras:NAME
        return
    inner = any(lies_in(output, join(run, folder)) for folder in layout.FOLDERS)
    if inner or (lies_in(output, run) and lies_in(run, output)):
        raise ConfigError(
            f"output: {output} is the folder of the run {run}, or one of the folders in it",
            "Choose a folder beside it",
        )


def _bound(config: PredictConfig, source: ImageSource, network: Network) -> dict[str, Any]:
    """Everything that the predictions depend on, as JSON values."""
    run = network.run
    values = {
        "run": network.url,
        "weights": network.weights,
        "weights_sha256": network.weights_sha256,
        "input": source.url,
        **source.bound,
        "part_size": config.part_size,
        "format": config.format,
        "image_shape": run.image_shape,
        "prepared": {"shape": run.prepared_shape, "resize": run.resize}
        | ({"encoding": run.encoding} if run.encoding != "raw" else {}),
        "standardize": run.config.data.standardize,
        "pixels": run.pixels,
        "classes_sha256": hashlib.sha256(json.dumps(run.classes).encode()).hexdigest(),
    }
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def _plan(
    config: PredictConfig, source: ImageSource, target: Store, bound: Mapping[str, Any]
) -> PredictionPlan:
    """The committed plan: the existing one, extended with --extend, or a new one."""
    existing = prediction_plan.read(target)
    if existing is None:
        plan = prediction_plan.commit(target, bound, source, config.part_size)
        prediction_plan.check_bound(target, plan, bound)  # it may be that of another pod
        log.info("%s to classify, in %s", plural(plan.images, "image"), plural(plan.parts, "part"))
        return plan
    plan, etag = existing
    prediction_plan.check_bound(target, plan, bound)
    if config.extend:
        extended = prediction_plan.extend(target, plan, etag, source, config.part_size)
        if extended.images > plan.images:
            log.info("%s added since the last run", plural(extended.images - plan.images, "image"))
        return extended
    summary = read_summary(target, plan)
    this_job = bool(summary and summary["job"] and summary["job"] == os.environ.get(JOB))
    if summary and not this_job and (new := prediction_plan.new_images(target, plan, source)):
        raise RunError(
            f"the input {source.url} has {plural(new, 'image')} that the finished job in {target.url} did "
            "not predict",
            "Set extend: true (--extend) to predict them too",
        )
    return plan


def _work(
    config: PredictConfig,
    source: ImageSource,
    target: Store,
    plan: PredictionPlan,
    claims: Claims,
    network: Network,
) -> None:
    with quiet_tensorflow_import():
        from trainer.inference.predictor import Predictor
        from trainer.inference.worker import Worker

    predictor = partial(Predictor, network, config.batch_size)
    with _progress(plan) as report:
        Worker(source, target, plan, claims, predictor, config, report).run()


def _in_processes(
    target: Store, plan: PredictionPlan, workers: int, index: int, pods: int, command: Sequence[str]
) -> None:
    def done() -> int:
        return len(Claims(target, "", 0, 1, plan.parts).done())

    def environment(number: int) -> dict[str, str]:
        # From 1 on: the summary is this process's.
        return {INDEX: str(index * workers + number + 1), PODS: str(pods * workers), LOCAL_WORKER: "1"}

    with _progress(plan) as report:
        local.run(workers, command, environment, done, lambda: report(done()))


@contextmanager
def _progress(plan: PredictionPlan) -> Iterator[Callable[[int], None]]:
    """A function to report the number of completed parts to."""
    with progress(log.info, "images") as show:

        def report(parts: int) -> None:
            images = plan.images_of(parts)
            JOB_IMAGES.set(plan.images)
            JOB_IMAGES_DONE.set(images)
            show(images, plan.images)

        yield report


def _summary_of_another(target: Store, plan: PredictionPlan) -> PredictionSummary | None:
    """The summary that worker 0 writes; None if it does not in time, as on a node that is lost."""
    deadline = time.monotonic() + SUMMARY_SECONDS
    while (summary := read_summary(target, plan)) is None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return summary


def _finish(
    config: PredictConfig, source: ImageSource, target: Store, plan: PredictionPlan
) -> PredictionSummary:
    new = prediction_plan.new_images(target, plan, source)
    if new:
        log.warning(
            "%s added since the job started; extend: true (--extend) predicts them too", plural(new, "image")
        )
    job = os.environ.get(JOB, "")
    summary = write_summary(source, target, plan, config.format, new=new, job=job)
    Claims(target, "", 0, 1, plan.parts).clear()
    return summary
