"""An HTTP server for a few known peers, in one thread: bounded in the size of requests, in connections and in
time."""

import asyncio
import errno
import logging
import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus

from trainer.gang.network import http
from trainer.gang.network.http import Request, Response, plain_address

log = logging.getLogger("trainer.network")

_MAX_HEADER_BYTES = 16 * 1024


class EventServer:
    """Answers requests from the start to `close`. Use it as a context manager, or close it.

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
        waits: bool = False,
    ) -> None:
        """
        Args:
            handle: called for each request, in the server's thread: it must not wait.
            host: the address to listen on, "" for all, of IPv4 and IPv6.
            port: 0 for any free port.
            name: the name of the thread.
            keep_alive: whether a client may send several requests over one connection.
            timeout: seconds that a connection may be silent.
            max_body: bytes; a longer body is refused with 413.
            waits: whether `handle` may wait: it is called in a thread for each request.

        Raises:
            OSError: the port is taken, or may not be used.
        """
        self._handle, self._timeout, self._max_body = handle, timeout, max_body
        self._keep_alive = keep_alive
        self._waits, self._name = waits, name
        self._connections: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._started.wait()

    def close(self) -> None:
        with suppress(RuntimeError):  # closed before
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def __enter__(self) -> "EventServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, sock=self._socket, limit=_MAX_HEADER_BYTES, backlog=1024)
        )
        self._loop.call_soon(self._started.set)
        try:
            self._loop.run_forever()
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
            self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        client = plain_address(writer.get_extra_info("peername")[0])
        # A client that floods the server uses up only its own connections.
        full = (
            self._connections[client] >= http.MAX_CONNECTIONS_OF_ONE_CLIENT
            or self._connections.total() >= http.MAX_CONNECTIONS
        )
        self._connections[client] += 1
        try:
            while not full and await self._answer(reader, writer, client):
                pass
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError, TimeoutError):
            pass  # such as a client that hangs up, or sends something else
        except asyncio.CancelledError:
            pass  # by `close`
        finally:
            self._tasks.discard(task)
            self._connections[client] -= 1
            self._connections += Counter()  # drops the zeros
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: str) -> bool:
        """Reads one request and answers it; whether the connection stays open."""
        async with asyncio.timeout(self._timeout):
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, version, headers = _parse(head)
            length = headers.get("Content-Length") or "0"
            if not length.isdecimal() or int(length) > self._max_body:
                # The rest of the body is not read, so the connection cannot be used again.
                stays = False
                response = Response(413, f"expected a body of at most {self._max_body} bytes\n".encode())
            else:
                kept = version == "HTTP/1.1" and headers.get("Connection", "").lower() != "close"
                stays = kept and self._keep_alive
                body = await reader.readexactly(int(length))
                request = Request(method, target.partition("?")[0], body, headers, client)
                response = await self._respond(request)
            writer.write(_format(response, stays=stays))
            await writer.drain()
            if response.on_sent:
                response.on_sent()
            return stays

    async def _respond(self, request: Request) -> Response:
        if not self._waits:
            return self._answer_to(request)
        response: asyncio.Future[Response] = self._loop.create_future()

        def settle(answer: Response) -> None:
            if not response.cancelled():
                response.set_result(answer)

        def work() -> None:
            answer = self._answer_to(request)
            with suppress(RuntimeError):  # closed in the meantime
                self._loop.call_soon_threadsafe(settle, answer)

        threading.Thread(target=work, name=f"{self._name} request", daemon=True).start()
        return await response

    def _answer_to(self, request: Request) -> Response:
        try:
            return self._handle(request)
        except Exception as error:
            log.warning("%s %s failed: %s: %s", request.method, request.path, type(error).__name__, error)
            return Response(500)


def _parse(head: bytes) -> tuple[str, str, str, Mapping[str, str]]:
    """Method, target, version and headers, with names as `X-Name`. Raises ValueError for anything else."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, version = first.split(" ")
    headers = {}
    for line in filter(None, lines):
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(line)
        headers[name.title()] = value.strip()
    return method, target, version, headers


def _format(response: Response, *, stays: bool) -> bytes:
    headers = {
        "Content-Type": response.content_type,
        "Content-Length": str(len(response.body)),
        **({} if stays else {"Connection": "close"}),
        **response.headers,
    }
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + response.body


def _listen(host: str, port: int) -> socket.socket:
    if not host and socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
