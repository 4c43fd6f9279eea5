"""From a configuration to trained weights in this pod: checks first, then TensorFlow."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainer.config import RunConfig
from trainer.config.explain import quoted
from trainer.distribution import launchers, rank_variables
from trainer.distribution.agreement import Agreement
from trainer.distribution.rank_status import Phase, report_phase
from trainer.errors import EXIT_INVALID, EXIT_LOST, ConfigError, RankLost, TrainerError, TransientError
from trainer.gang import pods
from trainer.gang.forming.policy import MAX_FAILURES, WAIT_FOR_REPLACEMENT, Policy
from trainer.gang.leading.holder import LOST_SECONDS, TAKE_OVER, Holder, wait_for_holder
from trainer.gang.network.auth import GangKey
from trainer.gang.pods import Pods
from trainer.gang.ranks.rank_environment import complete_environment
from trainer.machine import gpus
from trainer.observability.metrics import RunMetrics
from trainer.observability.serving import serve
from trainer.observability.stacks import print_stacks_on_signal
from trainer.observability.tensorflow_import import quiet_tensorflow_import
from trainer.output.units import plural
from trainer.runs.claim import check_identity, check_resumable, give_back, is_begun
from trainer.runs.published import not_as_published, results
from trainer.runs.run_document import already_finished
from trainer.storage import OnRetry, Store, open_store
from trainer.training.run_plan import RunPlan, make_plan, resume_step
from trainer.training.setup.agreement_document import agreement_document
from trainer.training.setup.keep_state import keep_state
from trainer.training.setup.left_out import left_out
from trainer.training.stop_request import stop_request
from trainer.training.transient_errors import transient_errors

log = logging.getLogger(__name__)


def launch(config: RunConfig, *, ranks: int, command: Sequence[str], callbacks: Sequence[Any] = ()) -> int:
    """Trains in this process, or starts `ranks` ranks of `command` and supervises them -> the exit code.

    `callbacks` are Keras's, of this process, beside those of the configuration.

    Under `distribution.strategy: mirrored`, `ranks` is the number of replicas in one rank.

    Raises ConfigError, DataError, RunError before any expensive work, TransientError after a stop.
    """
    replicas = ranks if _mirrored(config) else 1
    if not rank_variables.is_supervised():
        launchers.check_place()
        if rank_variables.is_rank():
            return _train_as_launched(config, ranks)
    if rank_variables.is_rank():
        print_stacks_on_signal()
        if rank_variables.keeps_state():
            with transient_errors():
                keep_state(config)
            return 0
        restarted = rank_variables.generation() > 1
        with transient_errors() if restarted else nullcontext():
            return _train(config, replicas)
    if ranks == 1:
        serve(config.metrics.port)
        return _train(config, replicas, callbacks, alone=True)
    return supervise_pod(config, ranks=ranks, command=command)


def supervise_pod(
    config: RunConfig, *, ranks: int, command: Sequence[str], wanted: Callable[[], int] | None = None
) -> int:
    """Process 1 of a pod: `ranks` ranks of `command`, in a gang with the pods that the environment names.

    Under `distribution.strategy: mirrored` they are the replicas of one rank, and there is one pod.
    `wanted` reads the current number of pods of the gang. Returns and raises as `launch` does.
    """
    gang = pods.from_environment(wanted_pods=wanted)
    if not gang:
        launchers.refuse_place("--ranks")
    gpus.check_ranks(ranks, gpus.visible_gpus(os.environ))
    _check_pods(config, gang.count if gang else 1)
    checked = _check(config, ranks)
    if checked is None:
        return 0
    if gang:
        gang = within_lanes(gang, ranks, *checked)
    wait_until_free(checked[1], gang, grace=config.run.grace)
    replicas = ranks if _mirrored(config) else 1
    from trainer.gang.health.checks import health_check
    from trainer.gang.supervisor import supervise
    from trainer.gang.supervisor_options import SupervisorOptions

    store = open_store(config.run.url)
    options = SupervisorOptions(
        ranks=ranks // replicas,
        gpus_per_rank=replicas,
        grace=config.run.grace,
        stall_timeout=config.run.stall_timeout,
        pods=gang,
        policy=gang_policy(config),
        health=health_check(store, cache_folders(config)) if gang else None,
        store=store,
        metrics_port=config.metrics.port,
        linger=config.metrics.linger,
        finished=lambda: _is_complete(store, config),
        agreement=Agreement(agreement_document(checked[0], store.url), f"pod {gang.index if gang else 0}"),
    )
    return supervise(command, options)


def wait_until_free(store: Store, gang: Pods | None, *, grace: float) -> None:
    """Waits for an older Job of this pod's release. Raises RunError if another gang trains in the folder."""
    key = gang.key if gang else GangKey.from_environment()
    me = Holder.from_environment(
        os.environ.get(rank_variables.GANG) or key.gang(gang.coordinator if gang else "")
    )
    wait_for_holder(
        store, me, patience=grace + LOST_SECONDS, take_over=os.environ.get(TAKE_OVER, "") == "true"
    )


def within_lanes(gang: Pods, ranks: int, plan: RunPlan, store: Store) -> Pods:
    """The gang with as many pods as the run can use; those with higher numbers wait.

    Raises ConfigError if the run has not begun: then nothing is lost by another number of pods.
    """
    try:
        plan.check_ranks(gang.count * ranks)
    except ConfigError as error:
        if not is_begun(store):
            raise
        most = plan.most_ranks // ranks
        log.error("%s; this run has begun, so %s of %d train", error.problem, plural(most, "pod"), gang.count)
        gang = replace(gang, count=most)
    wanted = gang.wanted_pods and pods_within_lanes(gang.wanted_pods, ranks, plan)
    return replace(gang, wanted_pods=wanted)


def pods_within_lanes(wanted: Callable[[], int], ranks: int, plan: RunPlan) -> Callable[[], int]:
    """`wanted`, which raises ConfigError for more pods of `ranks` ranks than the run can use."""

    def read() -> int:
        pods = wanted()
        _check_pods(plan.config, pods)
        try:
            plan.check_ranks(pods * ranks)
        except ConfigError as error:  # the lanes of a run that has begun cannot change
            raise ConfigError(error.problem, f"Set workers to at most {plan.most_ranks // ranks}") from None
        return pods

    return read


def gang_policy(config: RunConfig) -> Policy:
    """When the gang trains without some of its pods."""
    distribution = config.distribution
    wait, exact = distribution.wait_for_replacement, config.train.exact
    if wait is None:
        wait = 0.0 if exact else WAIT_FOR_REPLACEMENT
    return Policy(
        elastic=exact or not config.train.deterministic,
        min_ranks=distribution.min_ranks,
        wait=wait,
        give_up_after=distribution.give_up_after,
        max_failures=MAX_FAILURES,
    )


def cache_folders(config: RunConfig) -> list[Path]:
    """Where a run keeps files on the pod's disk."""
    return [Path(config.data.cache.path)] if config.data.cache else []


def _mirrored(config: RunConfig) -> bool:
    return config.distribution.strategy == "mirrored"


def _check_pods(config: RunConfig, pods: int) -> None:
    if _mirrored(config) and pods > 1:
        raise ConfigError(
            f"distribution.strategy: mirrored: expected one pod, received {pods}",
            "Use horovod for several pods, or one pod with more GPUs",
        )


def ranks_of(text: str) -> int:
    """`auto`, one for each GPU or else one, or a number of ranks. Raises ConfigError for anything else."""
    if text == "auto":
        return max(1, len(gpus.visible_gpus(os.environ)))
    if not text.isdecimal() or len(text) > 9 or not int(text):
        raise ConfigError(f"--ranks: expected auto or a number from 1, received {quoted(text)}")
    return int(text)


def this_command() -> list[str]:
    """The command line that starts this process once more."""
    return [sys.executable, "-m", "trainer", *sys.argv[1:]]


def _check(config: RunConfig, size: int, on_retry: OnRetry | None = None) -> tuple[RunPlan, Store] | None:
    """Finds what is invalid before TensorFlow is imported; None when the run is finished."""
    plan = make_plan(config, size, on_retry=on_retry)
    store = open_store(config.run.url, on_retry=on_retry)
    check_identity(store, plan.identity)
    if _is_complete(store, config):
        log.info("%s is finished: nothing to do", store.url)
        _log_results(store)
        return None
    check_resumable(store)
    if (step := resume_step(store)) is not None:
        plan.check_epochs(step)
    return plan, store


def _is_complete(store: Store, config: RunConfig) -> bool:
    """Whether the run is finished, and what it published is there."""
    if not already_finished(store, config.train):
        return False
    key = not_as_published(store)
    if key:
        log.warning(
            "%s is finished, but %s has changed since it was published: publishing again", store.url, key
        )
    return key is None


def _train(config: RunConfig, replicas: int, callbacks: Sequence[Any] = (), *, alone: bool = False) -> int:
    """`alone`: there is no supervisor that has waited for the folder."""
    report_phase(Phase.LOADING)
    metrics = RunMetrics(rank_variables.rank())
    checked = _check(config, rank_variables.size() * replicas, metrics.store_retry)
    if checked is None:
        return 0
    if alone:
        wait_until_free(checked[1], None, grace=config.run.grace)
    if rank_variables.rank() == 0:
        for sentence in left_out(checked[0]):
            log.warning("%s", sentence)
    with quiet_tensorflow_import():
        from trainer.distribution import connect
        from trainer.training.finite import Diverged
        from trainer.training.run import train
        from trainer.training.setup.build_network import setup_tensorflow

    with stop_request() as stop:  # until here nothing is lost: trainer/interrupts.py ends the process
        setup_tensorflow(config)
        distribution = connect(stop.is_set, replicas=replicas)
        with _leaving_nothing_behind(checked[1], unless=Diverged) if distribution.is_chief else nullcontext():
            train(*checked, distribution, stop, metrics, callbacks)
        if distribution.is_chief:
            _log_results(checked[1])
    return 0


def _log_results(store: Store) -> None:
    """Logs where each result of a finished run is."""
    with suppress(OSError):
        for name, url in results(store):
            log.info("%s: %s", name, url)


@contextmanager
def _leaving_nothing_behind(store: Store, unless: type[TrainerError]) -> Iterator[None]:
    """Removes a new folder if the start is refused, or a rank is lost, before anything was saved."""
    with store.no_folders_left():
        try:
            yield
        except TrainerError as error:
            if error.exit_code in (EXIT_INVALID, EXIT_LOST) and not isinstance(error, unless):
                with suppress(OSError):
                    give_back(store, rank_variables.holder())
            raise


def _train_as_launched(config: RunConfig, ranks: int) -> int:
    """Trains as a rank that horovodrun started: only the chief logs, and a lost rank ends them all."""
    if ranks > 1:
        launchers.refuse_place("--ranks")
    os.environ.update(complete_environment())
    print_stacks_on_signal()
    if rank_variables.rank():
        logging.getLogger().setLevel(logging.ERROR)
    else:
        serve(config.metrics.port)
    try:
        return _train(config, 1)
    except RankLost as lost:
        raise TransientError(lost.problem, "Restart to resume from the last checkpoint") from None
