"""How the ranks of a generation wait for each other before Horovod starts."""

import http.client
import time
from collections.abc import Callable

from trainer.distribution import environment
from trainer.errors import Interrupted

SCOPE = "/meeting/"


def meet(timeout: float = 600.0, *, stopping: Callable[[], bool] = lambda: False) -> None:
    """Wait until every rank of this process's generation has come this far. Call it just before `hvd.init()`.

    `hvd.init()` waits for the others only as long as the Gloo timeout, which is small so that a lost rank is
    noticed soon, while ranks start seconds apart (one pod's disk is cold); and it aborts the process where no
    server answers.

    Raises:
        Interrupted: the others did not come within `timeout` seconds, or `stopping` became true meanwhile.
    """
    host, port = environment.rendezvous()
    rank, size = environment.rank(), environment.size()
    deadline = time.monotonic() + timeout
    missing = set(range(size))
    announced = False
    problem = ""
    pause = 0.02
    while time.monotonic() < deadline:
        if stopping():
            raise Interrupted(f"rank {rank} of {size} was stopped while it waited for the others")
        try:
            if not announced:
                _request(host, port, "PUT", f"{SCOPE}{rank}")
                announced = True
            missing = set(range(size)) - {int(key) for key in _request(host, port, "GET", SCOPE).split()}
        except OSError as error:
            problem = f" ({error})"
        if not missing:
            return
        time.sleep(pause)
        pause = min(0.5, pause * 1.3)
    raise Interrupted(
        f"rank {rank} of {size} waited {timeout:.0f} s at {host}:{port} for ranks {sorted(missing)}{problem}",
        "See the logs of their pods",
    )


def _request(host: str, port: int, method: str, path: str) -> bytes:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request(method, path, headers={"Content-Length": "0"})
        return connection.getresponse().read()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()
