"""How the ranks of a generation wait for each other before Horovod starts."""

import http.client
import logging
import time
from collections.abc import Callable

from trainer.distribution import rank_variables
from trainer.errors import TransientError

log = logging.getLogger(__name__)

SCOPE = "/meeting/"
LOG_AFTER = 10.0
"""Seconds after which the log names the missing ranks, and again after twice as long."""


def meet(timeout: float = 600.0, *, stopping: Callable[[], bool] = lambda: False) -> None:
    """Waits until every rank of this process's generation has called this. Call it just before `hvd.init()`.

    `hvd.init()` waits for the others only for the Gloo timeout, which is short so that a lost rank is noticed
    soon, while ranks start seconds apart (one pod's disk may be cold); and it aborts the process if no server
    responds.

    Raises:
        TransientError: the others did not appear within `timeout` seconds, or `stopping` became true.
    """
    host, port = rank_variables.rendezvous()
    rank, size = rank_variables.rank(), rank_variables.size()
    began = time.monotonic()
    deadline, log_at = began + timeout, began + LOG_AFTER
    missing = set(range(size))
    announced = False
    problem = ""
    pause = 0.02
    while time.monotonic() < deadline:
        if stopping():
            raise TransientError(f"rank {rank} of {size} was stopped while waiting for the other ranks")
        try:
            if not announced:
                _request(host, port, "PUT", f"{SCOPE}{rank}")
                announced = True
            missing = _missing(host, port, size, min(missing))
            problem = ""
        except OSError as error:
            problem = f" ({error})"
        if not missing:
            return
        if time.monotonic() > log_at:
            log_at += 2 * (log_at - began)
            log.info("rank %d of %d is waiting for ranks %s%s", rank, size, sorted(missing), problem)
        time.sleep(pause)
        pause = min(0.5, pause * 1.3)
    raise TransientError(
        f"rank {rank} of {size} waited {timeout:.0f} s at {host}:{port} for ranks {sorted(missing)}{problem}",
        "See their logs",
    )


def _missing(host: str, port: int, size: int, first: int) -> set[int]:
    """The ranks that have not called `meet`; those below `first` have.

    horovodrun's store lists nothing: there one is asked for after the other, up to the first that is missing.
    """
    listed = _request(host, port, "GET", SCOPE)
    if listed is not None:
        return set(range(size)) - {int(key) for key in listed.split()}
    for rank in range(first, size):
        if _request(host, port, "GET", f"{SCOPE}{rank}") is None:
            return {rank}
    return set()


def _request(host: str, port: int, method: str, path: str) -> bytes | None:
    """The response's body; None if there is no value at `path`."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request(method, path, headers={"Content-Length": "0"})
        response = connection.getresponse()
        body = response.read()
        if response.status not in (200, 404):
            raise ConnectionError(f"status {response.status} {body.decode(errors='replace')}".strip())
        return None if response.status == 404 else body
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()
