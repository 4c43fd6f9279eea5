"""Several worker processes on this machine, restarted when they are killed."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Thread

from trainer import interrupts
from trainer.errors import EXIT_INTERRUPTED, EXIT_INVALID, TrainerError, TransientError
from trainer.machine.cores import thread_environment, usable_cores
from trainer.machine.processes import leashed
from trainer.observability.log import print_line_of

log = logging.getLogger(__name__)

MAX_FRUITLESS_RESTARTS = 10
"""Ends of workers in a row, without a completed part, after which the job fails."""
_POLL, _REPORT = 0.1, 2.0


class WorkerFailed(TrainerError):
    """A worker printed why it ended; its exit code is that of the job."""

    def __init__(self, number: int, code: int) -> None:
        super().__init__(f"worker {number} ended with exit code {code}", "Its message is above")
        self.exit_code = code


@dataclass
class _Worker:
    number: int
    process: subprocess.Popen[str]


def run(
    workers: int,
    command: Sequence[str],
    environment: Callable[[int], dict[str, str]],
    done: Callable[[], int],
    report: Callable[[], None],
) -> None:
    """Returns when all workers have ended with 0.

    Args:
        environment: variables of the worker of a number.
        done: counts the completed parts.
        report: shows that, now and then.

    Raises WorkerFailed where one cannot continue, TransientError where they are killed again and again.
    """
    threads = thread_environment(workers, usable_cores())
    fruitless, last_done = 0, done()

    def start(number: int) -> _Worker:
        process = subprocess.Popen(
            leashed(command),
            env={**os.environ, **threads, **environment(number)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        Thread(target=_forward, args=(number, process), daemon=True).start()
        return _Worker(number, process)

    with interrupts.unwinding():
        living = [start(number) for number in range(workers)]
        try:
            reported = 0.0
            while living:
                time.sleep(_POLL)
                if time.monotonic() - reported > _REPORT:
                    reported = time.monotonic()
                    report()
                for worker in list(living):
                    code = worker.process.poll()
                    if code is None:
                        continue
                    living.remove(worker)
                    if code == 0:
                        continue
                    if code > 0 and code != EXIT_INTERRUPTED:
                        raise WorkerFailed(worker.number, code if code == EXIT_INVALID else 1)
                    now = done()
                    fruitless, last_done = (0 if now > last_done else fruitless + 1), now
                    if fruitless >= MAX_FRUITLESS_RESTARTS:
                        raise TransientError(
                            f"workers ended {fruitless} times without completing a part",
                            "Look for the reason above, such as too little memory, and restart",
                        )
                    log.warning("worker %d ended (%s); restarting it", worker.number, _describe(code))
                    living.append(start(worker.number))
        finally:
            for worker in living:
                worker.process.kill()
                worker.process.wait()


def _describe(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _forward(number: int, process: "subprocess.Popen[str]") -> None:
    assert process.stderr
    for line in process.stderr:
        print_line_of(f"worker {number}", line.rstrip())


def this_command() -> list[str]:
    """The command line of a worker: this one's, for one worker that serves no metrics."""
    return [*(sys.executable, "-m", "trainer", *sys.argv[1:]), "--workers", "1", "--set", "metrics.port=null"]
