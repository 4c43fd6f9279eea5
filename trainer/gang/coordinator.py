"""The coordinator of a gang: takes the supervisors' reports, decides, and runs each generation's rendezvous.

It stores nothing: a new one learns from the first round of reports who is there. `Coordinator` is what a
supervisor calls in its own process; `serve` answers those of the other pods over HTTP.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable

from trainer.distribution.agreement import Agreement
from trainer.gang import decisions
from trainer.gang.members import Answer, ExitPod, Gang, Member
from trainer.gang.messages import REPORT, decode_member, encode_answer
from trainer.gang.network.auth import HEADER, GangKey
from trainer.gang.network.http import HttpServer, Request, Response
from trainer.gang.network.rendezvous import Rendezvous
from trainer.gang.ranks.stall import NO_LIMITS, Limits

log = logging.getLogger("trainer.coordinator")


_LOG_AFTER = 2.0
_LOG_AGAIN = 30.0
_KEEP_ALIVE = 30.0
MAX_PODS_REVIEWED_AT_ONCE = 64
"""Of so many pods each report is reviewed at once."""
REVIEW_PAUSE_FACTOR = 10
"""Of more, a review is followed by so many times as long without one: it looks at all of them."""


class Coordinator:
    """`wanted`: how many pods the gang is to have, read at every report (it must not wait for anything).

    `host`: where the rendezvous of each generation listens, for this pod's ranks and for pods with `key`.
    `limits`: how long the ranks may make no progress.
    `agreement`: what every pod has to have; None where that is not compared.
    """

    def __init__(
        self,
        wanted: Callable[[], int],
        *,
        host: str = "127.0.0.1",
        key: GangKey | None = None,
        limits: Limits = NO_LIMITS,
        agreement: Agreement | None = None,
    ) -> None:
        self._wanted, self._limits = wanted, limits
        self._host, self._key = host, key
        self._lock = threading.Lock()
        self._gang = Gang(agreement=agreement)
        self._rendezvous: Rendezvous | None = None
        self._told: set[str] = set()
        self._named: set[int] = set()
        self._complete = time.monotonic()
        self._logged = 0.0
        self._next_review = 0.0

    def report(self, member: Member) -> tuple[Answer, int]:
        """A member's report -> what it is to do, and the port of the rendezvous (0 without one)."""
        now = time.monotonic()
        with self._lock:
            before = self._gang
            self._gang = decisions.record(before, member, now=now)
            if len(self._gang.members) <= MAX_PODS_REVIEWED_AT_ONCE or now >= self._next_review:
                self._review(before, now)
                self._next_review = now + REVIEW_PAUSE_FACTOR * (time.monotonic() - now)
            answer = decisions.answer(self._gang, member)
            if isinstance(answer, ExitPod):
                self._told.add(member.uid)
            return answer, self._rendezvous.port if self._rendezvous else 0

    def wait_until_told(self, timeout: float) -> bool:
        """Wait until every member that is there knows that it is to exit; False if that took too long."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with self._lock:
                if decisions.present(self._gang, now=time.monotonic()) <= self._told:
                    return True
            time.sleep(0.05)
        return False

    def close(self) -> None:
        with self._lock:
            if self._rendezvous:
                self._rendezvous.close()
                self._rendezvous = None

    def _review(self, before: Gang, now: float) -> None:
        token = secrets.token_hex(4)
        self._gang = decisions.review(
            self._gang, now=now, wanted=self._wanted(), token=token, limits=self._limits
        )
        self._follow(before, self._gang, now)

    def _follow(self, before: Gang, after: Gang, now: float) -> None:
        generation = after.generation
        if generation and generation is not before.generation:
            # A fresh server: on a used one a rank of an older generation was once joined with new ones.
            if self._rendezvous:
                self._rendezvous.close()
            self._rendezvous = Rendezvous(self._host, self._key)
            if len(generation.seats) > 1:
                pods, ranks = len(generation.seats), generation.size
                log.info("generation %d: %d ranks on %d pods", generation.number, ranks, pods)
        wanted = self._wanted()
        if wanted == 1 and not (generation and len(generation.seats) > 1):
            return
        reason = before.ending.reason if before.ending else ""
        if after.ending and generation and after.ending.reason != reason:
            log.info("generation %d ends: %s", generation.number, after.ending.reason)
        forming = after.end is None and (generation is None or after.ending)
        self._log_missing(decisions.missing(after, now=now, wanted=wanted) if forming else {}, now)

    def _log_missing(self, missing: dict[int, str], now: float) -> None:
        """Name the pods that are waited for: after a while, when they change, and again now and then."""
        if not missing:
            self._complete, self._named = now, set()
        elif now - self._complete > _LOG_AFTER and (
            missing.keys() != self._named or now - self._logged > _LOG_AGAIN
        ):
            self._named, self._logged = set(missing), now
            log.info(
                "waiting for %s", "; ".join(f"pod {index}, which {why}" for index, why in missing.items())
            )


def serve(coordinator: Coordinator, host: str, port: int, key: GangKey) -> HttpServer:
    """Answer members that have `key` at `host`:`port` (0: a free one) until the server is closed.

    Raises OSError when the port is taken.
    """

    def handle(request: Request) -> Response:
        if (request.method, request.path) != ("POST", REPORT):
            return Response(404)
        signature = request.headers.get(HEADER, "")
        if not key.verify(signature, request.body):
            return Response(403)
        try:
            answer = answer_to(coordinator, request.body)
        except (ValueError, TypeError, KeyError):
            return Response(400)
        return Response(200, answer, headers={HEADER: key.sign(signature.encode(), answer)})

    # Members keep their connection: it saves a name look-up and a handshake four times a second.
    return HttpServer(handle, host, port, name="coordinator", keep_alive=True, timeout=_KEEP_ALIVE)


def answer_to(coordinator: Coordinator, report: bytes) -> bytes:
    """A member's report -> the answer. Raises ValueError, TypeError or KeyError for what is no report."""
    return encode_answer(*coordinator.report(decode_member(report)))
