"""The coordinator of a gang: hears its members, decides with `gang`, and runs each generation's rendezvous.

It stores nothing: a new one learns from the first round of words who is there. `Coordinator` is what a
supervisor calls in its own process; `serve` puts it on the network for those of the other pods.
"""

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from trainer.distribution import gang
from trainer.distribution.rendezvous import Rendezvous

log = logging.getLogger("trainer.coordinator")

_LONGEST = 64 * 1024
_SAY_AFTER = 2.0
_SAY_AGAIN = 30.0


class Coordinator:
    """`wanted`: how many pods the gang shall have, asked at every word (it must not wait for anything).

    `host`: where the rendezvous of each generation listens.
    """

    def __init__(self, wanted: Callable[[], int], *, host: str = "127.0.0.1") -> None:
        self._wanted = wanted
        self._host = host
        self._lock = threading.Lock()
        self._gang = gang.Gang()
        self._rendezvous: Rendezvous | None = None
        self._told: set[str] = set()
        self._named: set[int] = set()
        self._complete = time.monotonic()
        self._said = 0.0

    def tell(self, member: gang.Member) -> tuple[gang.Answer, int]:
        """A member's words -> what it shall do, and the port of the rendezvous (0 without one)."""
        now = time.monotonic()
        with self._lock:
            before = self._gang
            heard = gang.hear(before, member, now=now)
            self._gang = gang.review(heard, now=now, wanted=self._wanted(), token=secrets.token_hex(4))
            self._follow(before, self._gang, now)
            answer = gang.answer(self._gang, member)
            if isinstance(answer, gang.End):
                self._told.add(member.uid)
            return answer, self._rendezvous.port if self._rendezvous else 0

    def wait_for_farewell(self, timeout: float) -> bool:
        """Wait until every member that was there at the end has heard of it; False if that took too long."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with self._lock:
                if gang.present(self._gang, now=time.monotonic()) <= self._told:
                    return True
            time.sleep(0.05)
        return False

    def close(self) -> None:
        with self._lock:
            if self._rendezvous:
                self._rendezvous.close()
                self._rendezvous = None

    def _follow(self, before: gang.Gang, after: gang.Gang, now: float) -> None:
        generation = after.generation
        if generation and generation is not before.generation:
            # A fresh server: on a used one a rank of an older generation was once joined with new ones.
            if self._rendezvous:
                self._rendezvous.close()
            self._rendezvous = Rendezvous(self._host)
            if len(generation.seats) > 1:
                pods, ranks = len(generation.seats), generation.size
                log.info("generation %d: %d ranks on %d pods", generation.number, ranks, pods)
        wanted = self._wanted()
        if wanted == 1 and not (generation and len(generation.seats) > 1):
            return
        said = before.ending.reason if before.ending else ""
        if after.ending and generation and after.ending.reason != said:
            log.info("generation %d ends: %s", generation.number, after.ending.reason)
        forming = after.end is None and (generation is None or after.ending)
        self._say_missing(gang.missing(after, now=now, wanted=wanted) if forming else {}, now)

    def _say_missing(self, missing: dict[int, str], now: float) -> None:
        """Name those who are waited for, once it has lasted, when they change, and again now and then."""
        if not missing:
            self._complete, self._named = now, set()
        elif now - self._complete > _SAY_AFTER and (
            missing.keys() != self._named or now - self._said > _SAY_AGAIN
        ):
            self._named, self._said = set(missing), now
            log.info(
                "waiting for %s", "; ".join(f"pod {index}, which {why}" for index, why in missing.items())
            )


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"
    # Members keep their connection: it saves a name look-up and a handshake four times a second.
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self) -> None:
        body = self.rfile.read(min(_LONGEST, int(self.headers.get("Content-Length") or 0)))
        try:
            member = decode_member(body)
        except (ValueError, TypeError, KeyError):
            self._reply(400, b"")
            return
        answer, port = self.server.coordinator.tell(member)
        self._reply(200, encode_answer(answer, port))

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], coordinator: Coordinator) -> None:
        self.coordinator = coordinator
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A member that goes while it is being answered says so by its silence."""


def serve(coordinator: Coordinator, host: str, port: int) -> ThreadingHTTPServer:
    """Answer members at `host`:`port` (0: a free one) in a thread, until `shutdown` and `server_close`."""
    server = _Server((host, port), coordinator)
    threading.Thread(target=server.serve_forever, args=(0.05,), name="coordinator", daemon=True).start()
    return server


def encode_member(member: gang.Member) -> bytes:
    return json.dumps(asdict(member)).encode()


def decode_member(data: bytes) -> gang.Member:
    """Raises ValueError, TypeError or KeyError for anything else than `encode_member` makes."""
    values = json.loads(data)
    return gang.Member(**{**values, "state": gang.State(values["state"])})


def encode_answer(answer: gang.Answer, port: int) -> bytes:
    return json.dumps({"kind": type(answer).__name__, "port": port, **asdict(answer)}).encode()


def decode_answer(data: bytes) -> tuple[gang.Answer, int]:
    """Raises ValueError, TypeError or KeyError for anything else than `encode_answer` makes."""
    values = json.loads(data)
    kind, port = values.pop("kind"), int(values.pop("port"))
    if kind == "Run":
        generation = values["generation"]
        seats = tuple(gang.Seat(**seat) for seat in generation["seats"])
        return gang.Run(gang.Generation(generation["id"], generation["number"], seats)), port
    return (gang.End if kind == "End" else gang.Wait)(**values), port
