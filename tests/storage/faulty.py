"""A proxy between boto3 and a real S3 server that spoils chosen answers, as networks and busy servers do."""

import http.client
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from urllib.parse import urlsplit

Fault = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """One request: `forward` asks the server, `send` answers the client, `reset` hangs up on it."""

    protocol_version = "HTTP/1.1"
    server: "FaultyProxy"

    def handle_request(self) -> None:
        self.body = self.read_body()
        self.server.seen.append(f"{self.command} {self.path}")
        self.server.headers_seen.append(dict(self.headers))
        fault = self.server.next_fault(self)
        if fault:
            fault(self)
        else:
            self.send(*self.forward())

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_request

    def read_body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while length := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
        return body

    def forward(self) -> tuple[int, dict[str, str], bytes]:
        address = urlsplit(self.server.upstream)
        upstream = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        try:
            headers = {name: value for name, value in self.headers.items() if name != "Expect"}
            upstream.request(self.command, self.path, self.body, headers)
            answer = upstream.getresponse()
            hop = ("connection", "transfer-encoding", "date", "server")
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in hop}
            return answer.status, kept, answer.read()
        finally:
            upstream.close()

    def send(self, status: int, headers: dict[str, str], body: bytes, *, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if self.command == "HEAD" or name.lower() != "content-length":
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])

    def reset(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None: ...

    def finish(self) -> None:
        if self.connection.fileno() >= 0:
            super().finish()


class FaultyProxy(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = upstream
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.seen: list[str] = []
        self.headers_seen: list[dict[str, str]] = []
        self.over = threading.Event()
        self.outage: Fault | None = None
        """What every request meets, while it is set."""
        self.met: Counter[str] = Counter()
        """The faults that requests met by chance, by name."""
        self._faults: list[tuple[str, Fault]] = []
        self._rate, self._chance, self._passing = 0.0, Random(0), PASSING
        self._lock = threading.Lock()

    def spoil(self, command: str, *faults: Fault) -> None:
        """The next requests whose `METHOD /path` starts with `command` meet these faults, one each."""
        self._faults += [(command, fault) for fault in faults]

    def spoil_at_random(self, rate: float, seed: int, faults: "Sequence[Fault] | None" = None) -> None:
        """From now on each request meets, with chance `rate`, one of `faults`, or of all that pass."""
        with self._lock:
            self._rate, self._chance, self._passing = rate, Random(seed), tuple(faults or PASSING)

    def next_fault(self, request: Handler) -> Fault | None:
        if self.outage:
            return self.outage
        with self._lock:
            for index, (command, fault) in enumerate(self._faults):
                if f"{request.command} {request.path}".startswith(command):
                    del self._faults[index]
                    return fault
            if self._chance.random() < self._rate:
                fault = self._chance.choice(self._passing)
                self.met[fault.__name__] += 1
                return fault
        return None

    @property
    def faults_left(self) -> int:
        return len(self._faults)

    def handle_error(self, request: object, client_address: object) -> None: ...


@contextmanager
def faulty_proxy(upstream: str) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(upstream)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.over.set()
        proxy.shutdown()
        thread.join()
        proxy.server_close()


def says(status: int, code: str, message: str = "because") -> Fault:
    """An error as S3 words it, without asking the server."""
    words = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"

    def fault(request: Handler) -> None:
        request.send(status, {"Content-Type": "application/xml"}, words.encode())

    return fault


def slow_down(request: Handler) -> None:
    says(503, "SlowDown")(request)


def internal_error(request: Handler) -> None:
    says(500, "InternalError")(request)


def bad_gateway(request: Handler) -> None:
    """What a load balancer says: no S3 in it."""
    request.send(502, {"Content-Type": "text/html"}, b"<html>Bad Gateway</html>")


def reset(request: Handler) -> None:
    """Hangs up before the request is carried out."""
    request.reset()


def lose_answer(request: Handler) -> None:
    """Carries the request out, and hangs up before saying so."""
    request.forward()
    request.reset()


def stall(request: Handler) -> None:
    """Says nothing at all."""
    request.server.over.wait(60)
    request.close_connection = True


def cut_body(at: int) -> Fault:
    """Announces the whole body, sends `at` bytes of it, and hangs up."""

    def fault(request: Handler) -> None:
        request.send(*request.forward(), cut=at)
        request.close_connection = True

    return fault


def reset_body(at: int) -> Fault:
    def fault(request: Handler) -> None:
        request.send(*request.forward(), cut=at)
        request.reset()

    return fault


def flip_body(request: Handler) -> None:
    """Sends one wrong byte under the right checksum."""
    status, headers, body = request.forward()
    request.send(status, headers, bytes([body[0] ^ 1]) + body[1:])


def cut_in_half(request: Handler) -> None:
    """Announces the whole body, sends half of it, and hangs up."""
    status, headers, body = request.forward()
    request.send(status, headers, body, cut=len(body) // 2)
    request.close_connection = True


def delay(request: Handler) -> None:
    request.server.over.wait(0.05)
    request.send(*request.forward())


def hang_body(at: int) -> Fault:
    """Announces the whole body, sends `at` bytes of it, and then nothing for ever."""

    def fault(request: Handler) -> None:
        request.send(*request.forward(), cut=at)
        request.server.over.wait(60)
        request.close_connection = True

    return fault


def trickle(request: Handler) -> None:
    """Sends the body byte by byte, so that no single wait is long."""
    status, headers, body = request.forward()
    request.send(status, headers, body, cut=0)
    request.close_connection = True
    with suppress(OSError):
        for place in range(len(body)):
            request.wfile.write(body[place : place + 1])
            if request.server.over.wait(0.02):
                return


def change_object(request: Handler) -> None:
    """Another object has taken the place of the one asked for, of the same size."""
    from tests.conftest import client

    bucket, _, key = urlsplit(request.path).path.lstrip("/").partition("/")
    s3 = client(request.server.upstream)
    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    s3.put_object(Bucket=bucket, Key=key, Body=body[::-1])
    request.send(*request.forward())


PASSING: tuple[Fault, ...] = (slow_down, internal_error, bad_gateway, reset, lose_answer, cut_in_half, delay)
"""Faults after which the next attempt may succeed."""
