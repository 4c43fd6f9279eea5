"""A pod's one HTTP endpoint: `/metrics` of all its ranks, `/healthz`, `/readyz`."""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector


class Endpoint:
    """Serves from the start to `close`, in threads.

    Attributes:
        folder: where ranks write their metrics (their PROMETHEUS_MULTIPROC_DIR). It outlives their restarts,
            so that counters go on.
        port: the port it listens on.
    """

    def __init__(self, port: int, *, waiting_for: Callable[[], str]) -> None:
        """`port`: 0 for a free one. `waiting_for`: why this pod does not train now, "" while it does."""
        self.folder = tempfile.mkdtemp(prefix="trainer-metrics-")
        self.waiting_for = waiting_for
        self.scraped = threading.Event()
        own = CollectorRegistry()
        self.restarts = Counter(
            "trainer_restarts", "Times that this pod's ranks started again.", registry=own
        )
        self.ranks = Gauge("trainer_ranks_running", "Rank processes that run in this pod.", registry=own)
        self._own = own
        try:
            self._server = _Server(("", port), self)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        self.port: int = self._server.server_address[1]
        serve = self._server.serve_forever
        threading.Thread(target=serve, args=(0.05,), name="endpoint", daemon=True).start()

    def metrics(self) -> bytes:
        """The ranks' and the supervisor's own, in Prometheus' text format."""
        ranks = CollectorRegistry()
        MultiProcessCollector(ranks, path=self.folder)  # type: ignore[no-untyped-call]
        return generate_latest(self._own) + generate_latest(ranks)

    def linger(self, seconds: float, stop: Callable[[], bool]) -> None:
        """Stay until somebody has read `/metrics` once more, for so many seconds at most, or until `stop`."""
        self.scraped.clear()
        until = time.monotonic() + seconds
        while time.monotonic() < until and not stop() and not self.scraped.wait(0.05):
            pass

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        shutil.rmtree(self.folder, ignore_errors=True)


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"
    timeout = 10

    def do_GET(self) -> None:
        endpoint = self.server.endpoint
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(200, endpoint.metrics(), CONTENT_TYPE_PLAIN_0_0_4)
            endpoint.scraped.set()
        elif path == "/healthz":
            self._answer(200, b"ok\n")
        elif path == "/readyz":
            why = endpoint.waiting_for()
            self._answer(503 if why else 200, f"{why or 'ok'}\n".encode())
        else:
            self._answer(404, b"expected /metrics, /healthz or /readyz\n")

    def _answer(self, status: int, body: bytes, content: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that hangs up is no news."""
