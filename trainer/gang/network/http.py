"""A small HTTP server for a few known peers: bounded in the size of requests, in connections and in time."""

import errno
import ipaddress
import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TEXT = "text/plain; charset=utf-8"
MAX_CONNECTIONS = 4096
MAX_CONNECTIONS_OF_ONE_CLIENT = 256


@dataclass(frozen=True)
class Request:
    """`path` has no query; `client` is the sender's address, in dotted form for IPv4."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    client: str = ""


@dataclass(frozen=True)
class Response:
    """`on_sent` is called once the answer is written."""

    status: int = 200
    body: bytes = b""
    content_type: str = TEXT
    headers: Mapping[str, str] = field(default_factory=dict)
    on_sent: Callable[[], None] | None = None


class HttpServer:
    """Answers requests in threads, from the start to `close`. Use it as a context manager, or close it.

    Attributes:
        port: the port it listens on.
    """

    def __init__(
        self,
        handle: Callable[[Request], Response],
        host: str,
        port: int,
        *,
        name: str,
        keep_alive: bool = False,
        timeout: float = 10.0,
        max_body: int = 64 * 1024,
    ) -> None:
        """
        Args:
            handle: called for each request, in the request's own thread.
            host: the address to listen on, "" for all, of IPv4 and IPv6.
            port: 0 for any free port.
            name: the name of the thread.
            keep_alive: whether a client may send several requests over one connection.
            timeout: seconds that a connection may be silent.
            max_body: bytes; a longer body is refused with 413.

        Raises:
            OSError: the port is taken, or may not be used.
        """
        self._server = _server(host, port, _handler(handle, keep_alive, timeout, max_body))
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name=name, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> "HttpServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # All ranks of a gang connect at the same moment.
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._lock = threading.Lock()
        self._connections: Counter[str] = Counter()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        # A client that floods the server uses up only its own connections.
        client = _plain(client_address[0])
        with self._lock:
            full = (
                self._connections[client] >= MAX_CONNECTIONS_OF_ONE_CLIENT
                or self._connections.total() >= MAX_CONNECTIONS
            )
            if not full:
                self._connections[client] += 1
        if full:
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._forget(client)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._forget(_plain(client_address[0]))

    def _forget(self, client: str) -> None:
        with self._lock:
            self._connections[client] -= 1
            self._connections += Counter()  # drops the zeros

    def server_bind(self) -> None:
        # HTTPServer's method looks up the host's name, which takes seconds without DNS.
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores errors such as a client that hangs up."""


class _DualStackServer(_Server):
    address_family = socket.AF_INET6


def _server(host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> _Server:
    if ":" in host:
        return _DualStackServer((host, port), handler)
    if not host and socket.has_dualstack_ipv6():
        try:
            return _DualStackServer(("::", port), handler)
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
    return _Server((host, port), handler)


def _plain(address: str) -> str:
    """The address without an IPv4-mapped prefix: 10.0.0.7 for ::ffff:10.0.0.7."""
    mapped = ipaddress.IPv6Address(address.partition("%")[0]).ipv4_mapped if ":" in address else None
    return str(mapped) if mapped else address


def _handler(
    handle: Callable[[Request], Response], keep_alive: bool, seconds: float, max_body: int
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1" if keep_alive else "HTTP/1.0"
        timeout = seconds

        def do_GET(self) -> None:
            length = self.headers.get("Content-Length") or "0"
            if not length.isdecimal() or int(length) > max_body:
                # The rest of the body is not read, so the connection cannot be used again.
                self.close_connection = True
                self._send(Response(413, f"expected a body of at most {max_body} bytes\n".encode()))
                return
            body = self.rfile.read(int(length))
            path, client = self.path.partition("?")[0], _plain(self.client_address[0])
            self._send(handle(Request(self.command, path, body, dict(self.headers.items()), client)))

        do_POST = do_PUT = do_DELETE = do_GET

        def _send(self, response: Response) -> None:
            self.send_response(response.status)
            self.send_header("Content-Type", response.content_type)
            self.send_header("Content-Length", str(len(response.body)))
            for name, value in response.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(response.body)
            if response.on_sent:
                response.on_sent()

        def log_message(self, format: str, *args: Any) -> None:
            """Logs nothing: the callers log what matters."""

    return Handler
