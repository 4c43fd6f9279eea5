"""A pod's HTTP endpoint: the metrics of all its ranks, and its health for the kubelet's probes."""

import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

from trainer.errors import ConfigError
from trainer.gang.network.event_server import EventServer
from trainer.gang.network.http import Request, Response
from trainer.gang.ranks.stall import RankProgress
from trainer.observability import metric_names as names

METRICS = "/metrics"
HEALTHZ = "/healthz"
READYZ = "/readyz"
STUCK_AFTER = 60.0
"""Seconds without a turn of the main loop after which /healthz reports a fault."""
_RANK_LOG = re.compile(r"/ranks/(\d+)/log", re.ASCII)


def rank_log(rank: int) -> str:
    """The path of the last output of a rank of this pod."""
    return f"/ranks/{rank}/log"


class _Ranks:
    """The metrics that the ranks write to a folder."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def collect(self) -> Iterable[Metric]:
        """The metrics of all files, except those that a rank has just created and not yet filled."""
        files = [str(file) for file in self.folder.glob("*.db") if file.stat().st_size > 0]
        return cast(Iterable[Metric], MultiProcessCollector.merge(files))  # type: ignore[no-untyped-call]


class Endpoint:
    """Serves requests in a thread, from the start to `close`.

    Attributes:
        folder: where the ranks write their metrics (their PROMETHEUS_MULTIPROC_DIR). It outlives their
            restarts, so that counters continue.
        port: the port it listens on.
    """

    def __init__(
        self, port: int, *, not_ready: Callable[[], str], output: Callable[[int], bytes | None]
    ) -> None:
        """
        Args:
            port: 0 for any free port.
            not_ready: why this pod does not train now, "" while it does.
            output: the last output of a rank, None for a rank that this pod does not have.

        Raises:
            ConfigError: the port is taken.
        """
        self.folder = tempfile.mkdtemp(prefix="trainer-metrics-")
        self.not_ready = not_ready
        self.output = output
        self.scraped = threading.Event()
        self._registry = CollectorRegistry()
        self.restarts = Counter(names.RESTARTS, "Restarts of this pod's ranks.", registry=self._registry)
        self.ranks = Gauge(
            names.RANKS_RUNNING, "Running rank processes of this pod.", registry=self._registry
        )
        self.stalled = Gauge(
            names.RANK_STALLED_SECONDS,
            "Seconds since a rank's last step or other progress.",
            ["rank"],
            registry=self._registry,
        )
        self.work = Gauge(
            names.RANK_WORK_SECONDS,
            "Seconds of a rank's own part of a step, without what it waits for other ranks: the mean of a "
            "minute.",
            ["rank"],
            registry=self._registry,
        )
        self.slow = Gauge(
            names.RANK_SLOW,
            "1 if a rank has had less than 0.75 of the median rank's pace for ten minutes, else 0.",
            ["rank"],
            registry=self._registry,
        )
        self._ranks: set[str] = set()
        self._last_turn = time.monotonic()
        try:
            self._server = EventServer(self._handle, "", port, name="endpoint")
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise ConfigError(
                f"metrics.port {port}: {os.strerror(error.errno or 0)}", "Choose a free port, or 0 for any"
            ) from None
        self.port = self._server.port

    @property
    def own(self) -> tuple[Counter | Gauge, ...]:
        """The supervisor's metrics."""
        return self.restarts, self.ranks, self.stalled, self.work, self.slow

    def metrics(self) -> bytes:
        """The metrics of the ranks and of the supervisor, in Prometheus' text format."""
        return generate_latest(self._registry) + generate_latest(_Ranks(self.folder))

    def update(self, ranks: Sequence[RankProgress], slow: Collection[int] = ()) -> None:
        """Updates the metrics of this pod's ranks. The supervisor's main loop calls it in each turn.

        `slow`: the gang's slow ranks.
        """
        self._last_turn = time.monotonic()
        self.ranks.set(len(ranks))
        labels = {str(rank.rank) for rank in ranks}
        for gone in self._ranks - labels:
            for gauge in (self.stalled, self.work, self.slow):
                gauge.remove(gone)
        for rank in ranks:
            self.stalled.labels(str(rank.rank)).set(rank.idle)
            self.work.labels(str(rank.rank)).set(rank.work)
            self.slow.labels(str(rank.rank)).set(rank.rank in slow)
        self._ranks = labels

    def linger(self, seconds: float, stop: Callable[[], bool]) -> None:
        """Waits until the metrics are scraped once more, for at most `seconds`, or until `stop`."""
        self.scraped.clear()
        until = time.monotonic() + seconds
        while time.monotonic() < until and not stop() and not self.scraped.wait(0.05):
            self._last_turn = time.monotonic()

    def close(self) -> None:
        self._server.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _handle(self, request: Request) -> Response:
        if request.method != "GET":
            return Response(405, b"expected GET\n")
        if request.path == METRICS:
            return Response(200, self.metrics(), CONTENT_TYPE_PLAIN_0_0_4, on_sent=self.scraped.set)
        if request.path == HEALTHZ:
            idle = time.monotonic() - self._last_turn
            problem = f"the supervisor's main loop has not turned for {idle:.0f} s\n"
            return Response(503, problem.encode()) if idle > STUCK_AFTER else Response(200, b"ok\n")
        if request.path == READYZ:
            reason = self.not_ready()
            return Response(503 if reason else 200, f"{reason or 'ok'}\n".encode())
        if match := _RANK_LOG.fullmatch(request.path):
            output = self.output(int(match[1]))
            missing = f"this pod has no rank {match[1]}\n".encode()
            return Response(404, missing) if output is None else Response(200, output)
        return Response(404, f"expected {METRICS}, {HEALTHZ}, {READYZ} or {rank_log(0)}\n".encode())
