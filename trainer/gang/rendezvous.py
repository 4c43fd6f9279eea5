"""Where the ranks of one generation find each other: the key-value store that Horovod's Gloo talks to.

Horovod 0.28.1 (`common/gloo/http_store.cc`) sends one HTTP request a connection to `/scope/key`: PUT stores,
GET gives the value or 404, DELETE says that a rank needs its key no more; any other answer aborts the rank.
Horovod's scopes carry no generation, so a server is never used twice. Besides, GET of `/scope/` lists its
keys, a line each.
"""

import threading
from collections.abc import Callable

from trainer.gang.http import HttpServer, Request, Response

MAX_VALUE = 1 << 20
"""Bytes of one value. Horovod's are addresses, well below a kilobyte a rank."""


class Rendezvous:
    """A key-value store on `host` and a free port, in threads, until `close`.

    `admits` says whether a client's address may use it: Horovod's requests bear no signature.
    """

    def __init__(self, host: str = "127.0.0.1", *, admits: Callable[[str], bool] = lambda _: True) -> None:
        self._admits = admits
        self._lock = threading.Lock()
        self._values: dict[str, bytes] = {}
        self._server = HttpServer(self._handle, host, 0, name="rendezvous", max_body=MAX_VALUE)
        self.port = self._server.port

    def close(self) -> None:
        self._server.close()

    def __enter__(self) -> "Rendezvous":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _handle(self, request: Request) -> Response:
        path = request.path
        if not self._admits(request.client):
            return Response(403)
        with self._lock:
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
