"""Where the ranks of one generation find each other: the key-value store that Horovod's Gloo talks to.

Horovod 0.28.1 (`common/gloo/http_store.cc`) sends one HTTP request a connection to `/scope/key`: PUT stores,
GET gives the value or 404, DELETE says that a rank needs its key no more; any other answer aborts the rank.
Horovod's scopes carry no generation, so a server is never used twice. Besides, GET of `/scope/` lists its
keys, a line each.
"""

import http.client
import os
import socketserver
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from trainer.errors import Interrupted


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"
    timeout = 10

    def do_GET(self) -> None:
        with self.server.lock:
            value = self.server.values.get(self.path)
            if self.path.endswith("/"):
                keys = (path for path in self.server.values if path.startswith(self.path))
                value = "\n".join(path.removeprefix(self.path) for path in keys).encode()
        self._answer(404 if value is None else 200, value or b"")

    def do_PUT(self) -> None:
        value = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            self.server.values[self.path] = value
        self._answer(200)

    def do_DELETE(self) -> None:
        with self.server.lock:
            self.server.values.pop(self.path, None)
        self._answer(200)

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Every rank of a gang connects at the same moment.
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int]) -> None:
        self.lock = threading.Lock()
        self.values: dict[str, bytes] = {}
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer's looks up the host's name, which may take seconds where there is no DNS.
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A rank that dies while it is being answered is no news here."""


class Rendezvous:
    """A key-value store on `host` and a free port, in a thread, until `close`."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._server = _Server((host, 0))
        self.port: int = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="rendezvous", daemon=True
        ).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> "Rendezvous":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def meet(timeout: float = 600.0, *, stopping: Callable[[], bool] = lambda: False) -> None:
    """Wait until every rank of this process's generation has come this far. Call it just before `hvd.init()`.

    `hvd.init()` waits for the others only as long as HOROVOD_GLOO_TIMEOUT_SECONDS, which is small so that a
    lost rank is noticed soon, while ranks start seconds apart (one pod's disk is cold); and it aborts the
    process where no server answers.

    Raises:
        Interrupted: the others did not come within `timeout` seconds, or `stopping` became true meanwhile.
    """
    host, port = os.environ["HOROVOD_GLOO_RENDEZVOUS_ADDR"], int(os.environ["HOROVOD_GLOO_RENDEZVOUS_PORT"])
    rank, size = int(os.environ["HOROVOD_RANK"]), int(os.environ["HOROVOD_SIZE"])
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
                _request(host, port, "PUT", f"/meet/{rank}")
                announced = True
            missing = set(range(size)) - {int(key) for key in _request(host, port, "GET", "/meet/").split()}
        except OSError as error:
            problem = f" ({error})"
        if not missing:
            return
        time.sleep(pause)
        pause = min(0.5, pause * 1.3)
    raise Interrupted(
        f"rank {rank} of {size} waited {timeout:.0f} s at {host}:{port} for ranks {sorted(missing)}{problem}",
        "See their pods' logs",
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
