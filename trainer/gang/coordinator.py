"""The coordinator of a gang: takes the supervisors' reports, decides, and runs each generation's rendezvous.

It stores nothing: a new coordinator learns the members from the first round of reports. The supervisor of pod
    0 calls `Coordinator` in its own process; `serve` answers the supervisors of the other pods over HTTP.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from trainer.distribution.agreement import Agreement
from trainer.errors import EXIT_INVALID
from trainer.gang import decisions
from trainer.gang.forming import seats
from trainer.gang.forming.policy import WAIT_FOR_ALL, Policy
from trainer.gang.leading.contact import host_and_port
from trainer.gang.leading.keeper import TokenKeeper, Unconditional
from trainer.gang.leading.tokens import Deposed, Lead, Taken, TakenByAnother
from trainer.gang.members import Answer, End, ExitPod, Gang, Member, Redirect, RunRanks
from trainer.gang.messages import decode_member, encode_answer
from trainer.gang.network.auth import GangKey
from trainer.gang.network.event_server import EventServer
from trainer.gang.network.rendezvous import Rendezvous
from trainer.gang.network.reports import report_server
from trainer.gang.ranks.slow_ranks import SlowRanks
from trainer.gang.ranks.stall import NO_LIMITS, Limits

log = logging.getLogger("trainer.coordinator")

_LOG_AFTER_SECONDS = 2.0
_LOG_AGAIN_SECONDS = 30.0
MAX_PODS_REVIEWED_AT_ONCE = 64
"""Up to this many pods, every report triggers a review."""
REVIEW_PAUSE_FACTOR = 10
"""A larger gang is reviewed less often: after each review, not for this many times as long as it took."""


class Coordinator:
    """
    Args:
        wanted: reads how many pods the gang should have; called at every report, so it must not block.
        host: the address of each generation's rendezvous, for this pod's ranks and for pods with `key`.
        limits: how long the ranks may make no progress.
        agreement: what must be equal in all pods; None if it is not compared.
        policy: when the gang trains without some of its pods.
        keeper: takes a token of the run for each generation; None if the chief takes it itself.

    Attributes:
        deposed: the coordinator that has replaced this one, None while this one coordinates.
    """

    def __init__(
        self,
        wanted: Callable[[], int],
        *,
        host: str = "127.0.0.1",
        key: GangKey | None = None,
        limits: Limits = NO_LIMITS,
        agreement: Agreement | None = None,
        policy: Policy = WAIT_FOR_ALL,
        keeper: TokenKeeper | None = None,
    ) -> None:
        self.deposed: Lead | None = None
        self._superseded = False
        self._wanted, self._limits = wanted, limits
        self._policy, self._keeper = replace(policy, tokens=keeper is not None), keeper
        self._addresses: dict[int, str] = {}
        self._host, self._key = host, key
        self._lock = threading.Lock()
        known = keeper.known if keeper else Lead("")
        self._gang = Gang(agreement=agreement, step=known.step, failures=known.failures)
        self._rendezvous: Rendezvous | None = None
        self._slow = SlowRanks()
        self._notified: set[str] = set()
        self._logged_missing: set[int] = set()
        self._last_complete = time.monotonic()
        self._last_logged = 0.0
        self._next_review = 0.0

    @property
    def has_formed(self) -> bool:
        """Whether a generation has formed."""
        return self._gang.generation is not None

    @property
    def is_superseded(self) -> bool:
        """Whether another pod or another run has taken a token above this coordinator's."""
        return self.deposed is not None or self._superseded

    @property
    def is_alone(self) -> bool:
        """Whether no other pod reports."""
        return len(seats.present(self._gang, now=time.monotonic())) <= 1

    def report(self, member: Member, client: str = "") -> tuple[Answer, int]:
        """A member's report -> what the member should do, and the port of the rendezvous (0 without one).

        `client`: the address that the report came from, "" for this pod's own.
        """
        now = time.monotonic()
        with self._lock:
            if self.deposed:
                return Redirect(self.deposed.address), 0
            if self._keeper:
                mine = self._keeper.mine.address
                self._addresses[member.index] = host_and_port(client, member.port) if client else mine
            previous = self._gang
            self._gang = decisions.record(previous, member, now=now)
            if len(self._gang.members) <= MAX_PODS_REVIEWED_AT_ONCE or now >= self._next_review:
                self._review(previous, now)
                self._next_review = now + REVIEW_PAUSE_FACTOR * (time.monotonic() - now)
            answer = decisions.answer(self._gang, member)
            if isinstance(answer, ExitPod):
                self._notified.add(member.uid)
            elif isinstance(answer, RunRanks) and self._slow.ranks:
                answer = replace(answer, slow=self._slow.ranks)
            return answer, self._rendezvous.port if self._rendezvous else 0

    def wait_until_notified(self, timeout: float) -> bool:
        """Waits until all members have received their exit code; False if that took too long."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with self._lock:
                if seats.present(self._gang, now=time.monotonic()) <= self._notified:
                    return True
            time.sleep(0.05)
        return False

    def close(self) -> None:
        with self._lock:
            if self._rendezvous:
                self._rendezvous.close()
                self._rendezvous = None

    def _review(self, previous: Gang, now: float) -> None:
        token = secrets.token_hex(4)
        self._gang = decisions.review(
            self._gang,
            now=now,
            wanted=self._wanted(),
            token=token,
            limits=self._limits,
            policy=self._policy,
        )
        if self._keeper:
            self._follow_tokens(self._keeper)
        self._slow.observe(self._gang, now)
        self._follow_up(previous, now)

    def _follow_tokens(self, keeper: TokenKeeper) -> None:
        """Has the token of the next generation taken, and does what the newest token requires."""
        gang, pods = self._gang, dict(self._addresses)
        lead = replace(keeper.mine, pods=pods, step=gang.step, failures=gang.failures)
        outcome = keeper.poll(lead if gang.ready else None)
        if isinstance(outcome, Taken):
            self._gang = replace(self._gang, token=outcome.number)
        elif isinstance(outcome, Unconditional):
            if keeper.mine.pod:
                self.deposed = Lead(keeper.mine.gang)
                log.warning("the store has no conditional writes: pod 0 alone coordinates")
            self._policy, self._keeper = replace(self._policy, tokens=False), None
        elif isinstance(outcome, Deposed):
            self.deposed = outcome.lead
            log.warning(
                "pod %d coordinates now, by token %d: joining it", outcome.lead.pod, outcome.lead.number
            )
        elif isinstance(outcome, TakenByAnother):
            reason = f"another run has taken this run's folder, by token {outcome.lead.number}"
            self._gang = replace(self._gang, end=End(EXIT_INVALID, f"{reason}. Set another run.url"))
            self._superseded = True

    def _follow_up(self, previous: Gang, now: float) -> None:
        """Starts the rendezvous of a new generation, and logs what has changed."""
        current = self._gang
        generation = current.generation
        if generation and generation is not previous.generation:
            # A new server: on a used one, a rank of an older generation once joined the new ones.
            if self._rendezvous:
                self._rendezvous.close()
            self._rendezvous = Rendezvous(self._host, self._key, generation.id)
            if len(generation.seats) > 1:
                pods, ranks = len(generation.seats), generation.size
                log.info("generation %d: %d ranks on %d pods", generation.number, ranks, pods)
        wanted = self._wanted()
        if wanted == 1 and not (generation and len(generation.seats) > 1):
            return
        logged_reason = previous.ending.reason if previous.ending else ""
        if current.ending and generation and current.ending.reason != logged_reason:
            log.info("generation %d ends: %s", generation.number, current.ending.reason)
        forming = current.end is None and (generation is None or current.ending)
        self._log_missing(seats.missing(current, now=now, wanted=wanted) if forming else {}, now)

    def _log_missing(self, missing: dict[int, str], now: float) -> None:
        """Logs the missing pods: after a while, whenever they change, and at long intervals."""
        if not missing:
            self._last_complete, self._logged_missing = now, set()
        elif now - self._last_complete > _LOG_AFTER_SECONDS and (
            missing.keys() != self._logged_missing or now - self._last_logged > _LOG_AGAIN_SECONDS
        ):
            self._logged_missing, self._last_logged = set(missing), now
            log.info(
                "waiting for %s", "; ".join(f"pod {index}, which {why}" for index, why in missing.items())
            )


def serve(coordinator: Coordinator, host: str, port: int, key: GangKey) -> EventServer:
    """Answers members that have `key` at `host`:`port` (0: any free port) until the server is closed.

    Raises ConfigError if the port is taken.
    """
    return report_server(partial(answer_to, coordinator), host, port, key)


def answer_to(coordinator: Coordinator, report: bytes, client: str = "") -> bytes:
    """A member's report -> the answer. Raises ValueError, TypeError or KeyError for an invalid report."""
    return encode_answer(*coordinator.report(decode_member(report), client))
