"""Where the ranks of one generation find each other: the key-value store that Horovod's Gloo talks to.

Horovod 0.28.1 (`common/gloo/http_store.cc`) sends one HTTP request per connection to `/scope/key`: PUT
stores, GET returns the value or 404, DELETE means that a rank no longer needs its key; any other status
aborts the rank. Horovod's scopes carry no generation, so a server is never used twice. In addition, GET of
`/scope/` lists its keys, one per line.

Horovod signs nothing, and speaks only IPv4 (`HTTPRequest.hpp`). So ranks talk to 127.0.0.1: in pod 0 to the
store itself, elsewhere to a `Relay` in their pod, which signs.
"""

import http.client
import ipaddress

from trainer.gang.network.auth import HEADER, GangKey
from trainer.gang.network.event_server import EventServer
from trainer.gang.network.http import Request, Response

MAX_VALUE = 1 << 20
"""Bytes of one value. Horovod's values are addresses, well below a kilobyte per rank."""
_TIMEOUT = 10.0


class Rendezvous:
    """A key-value store on `host` and a free port, in a thread, until `close`.

    It accepts requests from this pod, and from elsewhere requests that are signed with `key` for this
    `generation`.
    """

    def __init__(self, host: str = "127.0.0.1", key: GangKey | None = None, generation: str = "") -> None:
        self._key, self._generation = key or GangKey(), generation
        self._values: dict[str, bytes] = {}
        self._server = EventServer(self._handle, host, 0, name="rendezvous", max_body=MAX_VALUE)
        self.port = self._server.port

    def close(self) -> None:
        self._server.close()

    def __enter__(self) -> "Rendezvous":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _handle(self, request: Request) -> Response:
        path = request.path
        if not ipaddress.ip_address(request.client).is_loopback and not self._key.verify(
            request.headers.get(HEADER, ""), *_signed(request, self._generation)
        ):
            return Response(403, b"not signed with the gang's key, or for another generation")
        if request.method == "PUT":
            self._values[path] = request.body
            return Response()
        if request.method == "DELETE":
            self._values.pop(path, None)
            return Response()
        if request.method != "GET":
            return Response(405)
        if path.endswith("/"):
            keys = (key.removeprefix(path) for key in self._values if key.startswith(path))
            return Response(200, "\n".join(keys).encode())
        value = self._values.get(path)
        return Response(404) if value is None else Response(200, value)


class Relay:
    """Forwards the requests of this pod's ranks to the store of `generation` at `address`:`port`, signed,
    until `close`."""

    def __init__(self, address: str, port: int, key: GangKey, generation: str = "") -> None:
        self._address, self._upstream, self._key, self._generation = address, port, key, generation
        self._server = EventServer(
            *(self._handle, "127.0.0.1", 0),
            name="relay",
            max_body=MAX_VALUE,
            timeout=2 * _TIMEOUT,
            waits=True,
        )
        self.port = self._server.port

    def close(self) -> None:
        self._server.close()

    def __enter__(self) -> "Relay":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _handle(self, request: Request) -> Response:
        connection = http.client.HTTPConnection(self._address, self._upstream, timeout=_TIMEOUT)
        try:
            signature = self._key.sign(*_signed(request, self._generation))
            connection.request(request.method, request.path, request.body, {HEADER: signature})
            response = connection.getresponse()
            return Response(response.status, response.read(MAX_VALUE + 1))
        except (OSError, http.client.HTTPException):
            return Response(502)
        finally:
            connection.close()


def _signed(request: Request, generation: str) -> tuple[bytes, ...]:
    return generation.encode(), request.method.encode(), request.path.encode(), request.body
