"""From a configuration to trained weights in this pod: checks first, TensorFlow only then."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from trainer.config import RunConfig
from trainer.distribution import is_rank, pods
from trainer.observability import metrics
from trainer.observability.quiet import quiet_import
from trainer.storage import Store, open_store
from trainer.storage.retry import on_retry
from trainer.training import folder
from trainer.training.passing import passing_causes
from trainer.training.plan import Plan, make_plan

log = logging.getLogger(__name__)


def launch(config: RunConfig, *, ranks: int, command: Sequence[str]) -> int:
    """Trains in this process, or starts `ranks` ranks of `command` and looks after them -> the exit code.

    Raises ConfigError, DataError, RunError before any expensive work, Interrupted after a stop.
    """
    if is_rank():
        restarted = int(os.environ.get("TRAINER_GENERATION", "1")) > 1
        with passing_causes() if restarted else nullcontext():
            return _train(config, int(os.environ["HOROVOD_SIZE"]))
    if ranks == 1:
        metrics.serve(config.metrics.port)
        return _train(config, 1)
    return supervise_pod(config, ranks=ranks, command=command)


def supervise_pod(
    config: RunConfig, *, ranks: int, command: Sequence[str], wanted: Callable[[], int] | None = None
) -> int:
    """Process 1 of a pod: `ranks` ranks of `command`, in a gang with the pods that the environment names.

    `wanted` says how many pods the gang shall have by now. Returns and raises as `launch` does.
    """
    gang = pods.from_environment(wanted=wanted)
    if _check(config, ranks * (gang.count if gang else 1)) is None:
        return 0
    from trainer.distribution.supervisor import SupervisorOptions, supervise

    store = open_store(config.run.url)
    options = SupervisorOptions(
        ranks=ranks,
        grace=config.run.grace,
        pods=gang,
        metrics_port=config.metrics.port,
        linger=config.metrics.linger,
        finished=lambda: folder.already_finished(store, config),
    )
    return supervise(command, options)


def gpus() -> int:
    """The GPUs of this pod, as the device files say."""
    return len([path for path in Path("/dev").glob("nvidia[0-9]*") if path.name[6:].isdecimal()])


def this_command() -> list[str]:
    """The words with which this process can be started once more."""
    return [sys.executable, "-m", "trainer", *sys.argv[1:]]


def _check(config: RunConfig, size: int) -> tuple[Plan, Store] | None:
    """All that can be known to be wrong before TensorFlow is imported; None when the run is finished."""
    plan, store = make_plan(config, size), open_store(config.run.url)
    folder.check_identity(store, plan)
    if folder.already_finished(store, config):
        log.info("%s is finished: nothing is left to do", store.url)
        return None
    return plan, store


def _train(config: RunConfig, size: int) -> int:
    stop = _stop_on_signals()
    rank = os.environ.get("HOROVOD_RANK", "0")
    on_retry.append(lambda cause: metrics.STORE_RETRIES.labels(rank, cause).inc())
    checked = _check(config, size)
    if checked is None:
        return 0
    with quiet_import():
        from trainer.distribution import connect
        from trainer.training.run import train

    train(*checked, connect(stop.is_set), stop)
    return 0


def _stop_on_signals() -> threading.Event:
    """SIGTERM and SIGINT set the event; a second SIGINT ends the process as usual."""
    stop = threading.Event()

    def handler(number: int, _: object) -> None:
        stop.set()
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, handler)
    return stop
