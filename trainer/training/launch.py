"""From a configuration to trained weights on this machine: checks first, TensorFlow only then."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence

from trainer.config import RunConfig
from trainer.distribution import is_rank
from trainer.observability import metrics
from trainer.storage import open_store
from trainer.training import folder
from trainer.training.plan import make_plan

log = logging.getLogger(__name__)


def launch(config: RunConfig, *, ranks: int, command: Sequence[str]) -> int:
    """Trains in this process, or starts `ranks` ranks of `command` and looks after them.

    Returns the exit code. Raises ConfigError, DataError, RunError before any expensive work, Interrupted
    after a stop.
    """
    if is_rank():
        return _train(config, int(os.environ["HOROVOD_SIZE"]))
    if ranks == 1:
        metrics.serve(config.metrics.port)
        return _train(config, 1)
    store, plan = open_store(config.run.url), make_plan(config, ranks)
    folder.check_identity(store, plan)
    if folder.already_finished(store, config):
        log.info("%s is finished", store.url)
        return 0
    from trainer.distribution.supervisor import SupervisorOptions, supervise

    options = SupervisorOptions(ranks=ranks, grace=config.run.grace)
    return supervise(command, options)


def _train(config: RunConfig, size: int) -> int:
    stop = _stop_on_signals()
    store, plan = open_store(config.run.url), make_plan(config, size)
    folder.check_identity(store, plan)
    if folder.already_finished(store, config):
        log.info("%s is finished", store.url)
        return 0
    from trainer.distribution import connect
    from trainer.training.run import train

    train(plan, store, connect(), stop)
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


def this_command() -> list[str]:
    """The words with which this process can be started once more."""
    return [sys.executable, "-m", "trainer", *sys.argv[1:]]
