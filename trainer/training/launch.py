"""From a configuration to trained weights in this pod: checks first, TensorFlow only then."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace

from trainer.config import RunConfig
from trainer.distribution import environment
from trainer.distribution.rank_status import Phase, report_phase
from trainer.errors import ConfigError
from trainer.explain import quoted
from trainer.gang import pods
from trainer.gang.ranks import devices
from trainer.observability.metrics import RunMetrics
from trainer.observability.serving import serve
from trainer.observability.stacks import print_stacks_on_signal
from trainer.observability.tensorflow_import import quiet_tensorflow_import
from trainer.runs.claim import check_identity
from trainer.runs.document import already_finished
from trainer.storage import OnRetry, Store, open_store
from trainer.training.plan import Plan, make_plan, resume_step
from trainer.training.transient_errors import transient_errors

log = logging.getLogger(__name__)


def launch(config: RunConfig, *, ranks: int, command: Sequence[str]) -> int:
    """Trains in this process, or starts `ranks` ranks of `command` and supervises them -> the exit code.

    Under `distribution.strategy: mirrored`, `ranks` is the number of replicas in one rank.

    Raises ConfigError, DataError, RunError before any expensive work, Interrupted after a stop.
    """
    replicas = ranks if _mirrored(config) else 1
    if environment.is_rank():
        print_stacks_on_signal()
        restarted = environment.generation() > 1
        with transient_errors() if restarted else nullcontext():
            return _train(config, replicas)
    if ranks == 1:
        serve(config.metrics.port)
        return _train(config, replicas)
    return supervise_pod(config, ranks=ranks, command=command)


def supervise_pod(
    config: RunConfig, *, ranks: int, command: Sequence[str], wanted: Callable[[], int] | None = None
) -> int:
    """Process 1 of a pod: `ranks` ranks of `command`, in a gang with the pods that the environment names.

    Under `distribution.strategy: mirrored` they are the replicas of one rank, and there is one pod.
    `wanted` reads how many pods the gang is to have now. Returns and raises as `launch` does.
    """
    devices.check_ranks(ranks, devices.gpus(os.environ))
    gang = pods.from_environment(wanted=wanted)
    _check_pods(config, gang.count if gang else 1)
    checked = _check(config, ranks * (gang.count if gang else 1))
    if checked is None:
        return 0
    if gang and gang.wanted:
        gang = replace(gang, wanted=pods_within_lanes(gang.wanted, ranks, checked[0]))
    replicas = ranks if _mirrored(config) else 1
    from trainer.gang.supervisor import SupervisorOptions, supervise

    store = open_store(config.run.url)
    options = SupervisorOptions(
        ranks=ranks // replicas,
        gpus_of_rank=replicas,
        grace=config.run.grace,
        stall_timeout=config.run.stall_timeout,
        pods=gang,
        metrics_port=config.metrics.port,
        linger=config.metrics.linger,
        finished=lambda: already_finished(store, config.train),
    )
    return supervise(command, options)


def pods_within_lanes(wanted: Callable[[], int], ranks: int, plan: Plan) -> Callable[[], int]:
    """`wanted`, which raises ConfigError for more pods of `ranks` ranks than the run can use."""

    def read() -> int:
        pods = wanted()
        _check_pods(plan.config, pods)
        plan.check_ranks(pods * ranks)
        return pods

    return read


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
        return max(1, len(devices.gpus(os.environ)))
    if not text.isdecimal() or len(text) > 9 or not int(text):
        raise ConfigError(f"--ranks: expected auto or a number from 1, received {quoted(text)}")
    return int(text)


def this_command() -> list[str]:
    """The command line that starts this process once more."""
    return [sys.executable, "-m", "trainer", *sys.argv[1:]]


def _check(config: RunConfig, size: int, on_retry: OnRetry | None = None) -> tuple[Plan, Store] | None:
    """Finds what is invalid before TensorFlow is imported; None when the run is finished."""
    plan = make_plan(config, size, on_retry=on_retry)
    store = open_store(config.run.url, on_retry=on_retry)
    check_identity(store, plan.identity)
    if already_finished(store, config.train):
        log.info("%s is finished: nothing is left to do", store.url)
        return None
    if (step := resume_step(store)) is not None:
        plan.check_epochs(step)
    return plan, store


def _train(config: RunConfig, replicas: int) -> int:
    report_phase(Phase.LOADING)
    metrics = RunMetrics(environment.rank())
    checked = _check(config, environment.size() * replicas, metrics.store_retry)
    if checked is None:
        return 0
    with quiet_tensorflow_import():
        from trainer.distribution import connect
        from trainer.training.run import train
        from trainer.training.setup.build import setup_tensorflow

    stop = _stop_on_signals()  # until here nothing is lost: trainer/interrupts.py ends the process
    setup_tensorflow(config)
    train(*checked, connect(stop.is_set, replicas=replicas), stop, metrics)
    return 0


def _stop_on_signals() -> threading.Event:
    """SIGTERM and SIGINT set the event; a second SIGINT ends the process at once, as before."""
    stop = threading.Event()
    at_once = signal.getsignal(signal.SIGINT)

    def handler(number: int, _: object) -> None:
        stop.set()
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, at_once)

    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, handler)
    return stop
