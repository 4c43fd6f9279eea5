"""Reports from the pods to their coordinator, over HTTP: signed, and each accepted once.

A server has a session, which it tells whoever asks without it. Each signature covers the session, a number of
the client's connection, a count that grows with each report, and the report; that of an answer covers the
report's signature. So what was recorded before is neither a report nor an answer now.
"""

import http.client
import logging
import secrets
import time
from collections.abc import Callable

from trainer.errors import ConfigError
from trainer.gang.messages import REPORT
from trainer.gang.network.auth import HEADER, GangKey
from trainer.gang.network.event_server import EventServer
from trainer.gang.network.http import Request, Response

log = logging.getLogger("trainer.coordinator")

SESSION = "X-Trainer-Session"
SEQUENCE = "X-Trainer-Sequence"
"""`SESSION/LINE/COUNT`."""
REQUEST_SECONDS = 2.0
_KEEP_ALIVE_SECONDS = 30.0
_LOG_AGAIN_SECONDS = 30.0
_MAX_LINES = 1 << 16
MAX_STRANGERS_LOGGED = 8
"""Addresses that the log names within _LOG_AGAIN_SECONDS."""
_OTHER_KEY = (
    "it is signed with another key, or for another Job. If the key was replaced, restart the pods that are "
    "older than the new one"
)
_NOT_OURS = (
    "the server there belongs to another Job, or has another key. If the key was replaced, restart the pods "
    "that are older than the new one"
)


def report_server(answer: Callable[[bytes, str], bytes], host: str, port: int, key: GangKey) -> EventServer:
    """Answers members that have `key` at `host`:`port` (0: any free port) until the server is closed.

    Args:
        answer: a report and its sender's address -> the answer. It must not wait, and raises ValueError,
            TypeError or KeyError for what is not a report.

    Raises ConfigError if the port is taken.
    """
    try:
        # Members keep their connections: that saves a name look-up and a handshake four times a second.
        return EventServer(
            Reports(answer, key).handle,
            host,
            port,
            name="coordinator",
            keep_alive=True,
            timeout=_KEEP_ALIVE_SECONDS,
        )
    except OSError as error:
        raise ConfigError(f"port {port} of the coordinator: {error.strerror}") from None


class Reports:
    """Checks reports, and signs the answers. See `report_server`."""

    def __init__(self, answer: Callable[[bytes, str], bytes], key: GangKey) -> None:
        self._answer, self._key = answer, key
        self._session = secrets.token_hex(8)
        self._counts: dict[str, int] = {}
        self._logged: dict[str, float] = {}

    def handle(self, request: Request) -> Response:
        if (request.method, request.path) != ("POST", REPORT):
            return Response(404)
        signature, sequence = request.headers.get(HEADER, ""), request.headers.get(SEQUENCE, "")
        if not self._key.verify(signature, sequence.encode(), request.body):
            self._refuse(request.client, _OTHER_KEY)
            return Response(403)
        session, _, place = sequence.partition("/")
        if session != self._session:
            proof = self._key.sign(signature.encode(), self._session.encode())
            return Response(409, headers={SESSION: self._session, HEADER: proof})
        if not self._is_new(place):
            self._refuse(request.client, "it is a copy of an earlier one")
            return Response(403)
        try:
            body = self._answer(request.body, request.client)
        except (ValueError, TypeError, KeyError):
            return Response(400)
        return Response(200, body, headers={HEADER: self._key.sign(signature.encode(), body)})

    def _is_new(self, place: str) -> bool:
        line, _, text = place.partition("/")
        if not text.isdecimal() or int(text) <= self._counts.get(line, -1):
            return False
        self._counts[line] = int(text)
        if len(self._counts) > _MAX_LINES:
            del self._counts[next(iter(self._counts))]
        return True

    def _refuse(self, client: str, reason: str) -> None:
        """Logs a refused report, those of each address at long intervals."""
        now = time.monotonic()
        recent = {address: at for address, at in self._logged.items() if now - at < _LOG_AGAIN_SECONDS}
        if client not in recent and len(recent) < MAX_STRANGERS_LOGGED:
            recent[client] = now
            log.warning("refused a report from %s: %s", client, reason)
        self._logged = recent


class ReportClient:
    """One connection to a `report_server`. Each new one resolves the name, as a new pod has a new address.

    Attributes:
        address: the server's address, "" before the first connection.
    """

    def __init__(self, host: str, port: int, key: GangKey) -> None:
        self._host, self._port, self._key = host, port, key
        self.address = ""
        self._connection: http.client.HTTPConnection | None = None
        self._line, self._count, self._session = secrets.token_hex(8), 0, ""

    def ask(self, report: bytes) -> bytes:
        """Sends a report, and returns what the server answers. Raises OSError or HTTPException; then call
        `close`."""
        status, headers, body, signature = self._send(report)
        if status == 409:
            session = headers.get(SESSION, "")
            self._check(headers.get(HEADER, ""), signature, session.encode())
            self._session = session
            status, headers, body, signature = self._send(report)
        if status == 403:
            raise ConnectionError(_NOT_OURS)
        if status != 200:
            raise ConnectionError(f"status {status}")
        self._check(headers.get(HEADER, ""), signature, body)
        return body

    def close(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None

    def _send(self, report: bytes) -> tuple[int, http.client.HTTPMessage, bytes, str]:
        connection = self._connection
        if connection is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=REQUEST_SECONDS)
            connection.connect()
            self._connection, self.address = connection, connection.sock.getpeername()[0]
        self._count += 1
        sequence = f"{self._session}/{self._line}/{self._count}"
        signature = self._key.sign(sequence.encode(), report)
        connection.request("POST", REPORT, report, {HEADER: signature, SEQUENCE: sequence})
        response = connection.getresponse()
        return response.status, response.headers, response.read(), signature

    def _check(self, proof: str, signature: str, body: bytes) -> None:
        if not self._key.verify(proof, signature.encode(), body):
            raise ConnectionError(_NOT_OURS)
