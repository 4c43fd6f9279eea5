"""A pod's HTTP endpoint: the metrics of all its ranks, and its health for the kubelet's probes."""

import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

from trainer.gang.network.http import HttpServer, Request, Response
from trainer.gang.ranks.stall import RankProgress
from trainer.observability import metric_names as names

METRICS = "/metrics"
HEALTHZ = "/healthz"
READYZ = "/readyz"
STUCK_AFTER = 60.0
"""Seconds after which a main loop that does not turn is a fault: then /healthz says so."""
_RANK_LOG = re.compile(r"/ranks/(\d+)/log", re.ASCII)


def rank_log(rank: int) -> str:
    """The path of the last output of one of the pod's ranks."""
    return f"/ranks/{rank}/log"


class _Ranks:
    """The metrics that the ranks have written to a folder."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def collect(self) -> Iterable[Metric]:
        """All but the files that a rank has just made and not yet filled, which cannot be read."""
        files = [str(file) for file in self.folder.glob("*.db") if file.stat().st_size > 0]
        return cast(Iterable[Metric], MultiProcessCollector.merge(files))  # type: ignore[no-untyped-call]


class Endpoint:
    """Serves from the start to `close`, in threads.

    Attributes:
        folder: where the ranks write their metrics (their PROMETHEUS_MULTIPROC_DIR). It outlives their
            restarts, so that counters continue.
        port: the port it listens on.
    """

    def __init__(
        self, port: int, *, waiting_for: Callable[[], str], output: Callable[[int], bytes | None]
    ) -> None:
        """
        Args:
            port: 0 for a free one.
            waiting_for: why this pod does not train now, "" while it does.
            output: the last output of a rank, None for a rank that this pod does not have.
        """
        self.folder = tempfile.mkdtemp(prefix="trainer-metrics-")
        self.waiting_for = waiting_for
        self.output = output
        self.scraped = threading.Event()
        self._own = CollectorRegistry()
        self.restarts = Counter(
            names.RESTARTS, "Times that this pod's ranks were started again.", registry=self._own
        )
        self.ranks = Gauge(names.RANKS_RUNNING, "Rank processes that run in this pod.", registry=self._own)
        self.stalled = Gauge(
            names.RANK_STALLED_SECONDS,
            "Seconds since a rank's last step or other progress.",
            ["rank"],
            registry=self._own,
        )
        self._shown: set[str] = set()
        self._turned = time.monotonic()
        try:
            self._server = HttpServer(self._handle, "", port, name="endpoint")
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        self.port = self._server.port

    def metrics(self) -> bytes:
        """The ranks' metrics and the supervisor's own, in Prometheus' text format."""
        return generate_latest(self._own) + generate_latest(_Ranks(self.folder))

    def show(self, ranks: Sequence[RankProgress]) -> None:
        """What the ranks of this pod do now. The supervisor's main loop calls it each time it turns."""
        self._turned = time.monotonic()
        self.ranks.set(len(ranks))
        shown = {str(rank.rank): rank.idle for rank in ranks}
        for gone in self._shown - shown.keys():
            self.stalled.remove(gone)
        for rank, idle in shown.items():
            self.stalled.labels(rank).set(idle)
        self._shown = set(shown)

    def linger(self, seconds: float, stop: Callable[[], bool]) -> None:
        """Stay until the metrics were read once more, for so many seconds at most, or until `stop`."""
        self.scraped.clear()
        until = time.monotonic() + seconds
        while time.monotonic() < until and not stop() and not self.scraped.wait(0.05):
            self._turned = time.monotonic()

    def close(self) -> None:
        self._server.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _handle(self, request: Request) -> Response:
        if request.method != "GET":
            return Response(405, b"expected GET\n")
        if request.path == METRICS:
            return Response(200, self.metrics(), CONTENT_TYPE_PLAIN_0_0_4, on_sent=self.scraped.set)
        if request.path == HEALTHZ:
            silent = time.monotonic() - self._turned
            stuck = f"the supervisor's main loop has not turned for {silent:.0f} s\n"
            return Response(503, stuck.encode()) if silent > STUCK_AFTER else Response(200, b"ok\n")
        if request.path == READYZ:
            why = self.waiting_for()
            return Response(503 if why else 200, f"{why or 'ok'}\n".encode())
        if match := _RANK_LOG.fullmatch(request.path):
            output = self.output(int(match[1]))
            missing = f"this pod has no rank {match[1]}\n".encode()
            return Response(404, missing) if output is None else Response(200, output)
        return Response(404, f"expected {METRICS}, {HEALTHZ}, {READYZ} or {rank_log(0)}\n".encode())
