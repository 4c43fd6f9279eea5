"""A pod's HTTP endpoint: the metrics of all its ranks, and its health for the kubelet's probes."""

import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

from trainer.gang.http import HttpServer, Request, Response
from trainer.observability import metric_names as names

METRICS = "/metrics"
HEALTHZ = "/healthz"
READYZ = "/readyz"
_HUNG = 60.0
"""Seconds without a turn of its main loop after which the supervisor is not healthy."""
_RANK_LOG = re.compile(r"/ranks/(\d+)/log", re.ASCII)


def rank_log(rank: int) -> str:
    """The path of the last output of one of the pod's ranks."""
    return f"/ranks/{rank}/log"


class Endpoint:
    """Serves from the start to `close`, in threads.

    Attributes:
        folder: where the ranks write their metrics (their PROMETHEUS_MULTIPROC_DIR). It outlives their
            restarts, so that counters continue.
        port: the port it listens on.
    """

    def __init__(
        self,
        port: int,
        *,
        waiting_for: Callable[[], str],
        output: Callable[[int], bytes | None],
        idle: Callable[[], float],
    ) -> None:
        """
        Args:
            port: 0 for a free one.
            waiting_for: why this pod does not train now, "" while it does.
            output: the last output of a rank, None for a rank that this pod does not have.
            idle: seconds since the supervisor last looked after its ranks.
        """
        self.folder = tempfile.mkdtemp(prefix="trainer-metrics-")
        self.waiting_for = waiting_for
        self.output = output
        self.idle = idle
        self.scraped = threading.Event()
        self._own = CollectorRegistry()
        self.restarts = Counter(
            names.RESTARTS, "Times that this pod's ranks were started again.", registry=self._own
        )
        self.ranks = Gauge(names.RANKS_RUNNING, "Rank processes that run in this pod.", registry=self._own)
        self.stalled = Gauge(
            names.RANKS_STALLED_SECONDS,
            "Seconds without progress of any rank of this pod, 0 while that is within run.stall_timeout.",
            registry=self._own,
        )
        try:
            self._server = HttpServer(self._handle, "", port, name="endpoint")
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        self.port = self._server.port

    def metrics(self) -> bytes:
        """The ranks' metrics and the supervisor's own, in Prometheus' text format."""
        ranks = CollectorRegistry()
        MultiProcessCollector(ranks, path=self.folder)  # type: ignore[no-untyped-call]
        return generate_latest(self._own) + generate_latest(ranks)

    def linger(self, seconds: float, stop: Callable[[], bool]) -> None:
        """Stay until the metrics were read once more, for so many seconds at most, or until `stop`."""
        self.scraped.clear()
        until = time.monotonic() + seconds
        while time.monotonic() < until and not stop() and not self.scraped.wait(0.05):
            pass

    def close(self) -> None:
        self._server.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _handle(self, request: Request) -> Response:
        if request.method != "GET":
            return Response(405, b"expected GET\n")
        if request.path == METRICS:
            return Response(200, self.metrics(), CONTENT_TYPE_PLAIN_0_0_4, on_sent=self.scraped.set)
        if request.path == HEALTHZ:
            if (idle := self.idle()) > _HUNG:
                return Response(503, f"the supervisor has been stuck for {idle:.0f} s\n".encode())
            return Response(200, b"ok\n")
        if request.path == READYZ:
            why = self.waiting_for()
            return Response(503 if why else 200, f"{why or 'ok'}\n".encode())
        if match := _RANK_LOG.fullmatch(request.path):
            output = self.output(int(match[1]))
            missing = f"this pod has no rank {match[1]}\n".encode()
            return Response(404, missing) if output is None else Response(200, output)
        return Response(404, f"expected {METRICS}, {HEALTHZ}, {READYZ} or {rank_log(0)}\n".encode())
