"""A supervisor's connection to its coordinator: in its own process, or over the network to another pod."""

import http.client
import logging
import threading
import time
from typing import Protocol

from trainer.gang.coordinator import Coordinator
from trainer.gang.members import Answer, Member, RunRanks
from trainer.gang.messages import decode_answer, encode_member
from trainer.gang.network.auth import GangKey
from trainer.gang.network.event_server import EventServer
from trainer.gang.network.rendezvous import Relay
from trainer.gang.network.reports import ReportClient

log = logging.getLogger("trainer.line")

POLL_SECONDS = 0.25
"""Seconds between two reports to the coordinator."""
_LOG_AGAIN_SECONDS = 30.0


class Line(Protocol):
    @property
    def port(self) -> int:
        """The port at 127.0.0.1 where this pod's ranks reach the rendezvous of the newest generation."""
        ...

    def report(self, member: Member) -> Answer | None:
        """Reports the current state -> the coordinator's answer, None while there is none. Does not wait."""
        ...

    def report_leaving(self, member: Member, timeout: float) -> None:
        """Sends the last report; tries for `timeout` seconds."""
        ...

    def wait_until_notified(self, timeout: float) -> None:
        """In pod 0, waits until the other pods have received their exit code, for at most `timeout`
        seconds."""
        ...

    def silent_for(self) -> float:
        """Seconds since the coordinator's last answer."""
        ...

    def close(self) -> None: ...


class Direct:
    """A connection to the coordinator in this process. `server`: what answers the other pods."""

    port = 0

    def __init__(self, coordinator: Coordinator, server: EventServer | None = None) -> None:
        self._coordinator, self._server = coordinator, server

    def report(self, member: Member) -> Answer | None:
        answer, self.port = self._coordinator.report(member)
        return answer

    def report_leaving(self, member: Member, timeout: float) -> None:
        self._coordinator.report(member)

    def wait_until_notified(self, timeout: float) -> None:
        self._coordinator.wait_until_notified(timeout)

    def silent_for(self) -> float:
        return 0.0

    def close(self) -> None:
        if self._server:
            self._server.close()
        self._coordinator.close()


class Remote:
    """A connection to another pod, in a thread. `name`: what the log calls it."""

    def __init__(self, host: str, port: int, key: GangKey, *, name: str = "pod 0") -> None:
        self._host, self._port, self._key, self._name = host, port, key, name
        self._client = ReportClient(host, port, key)
        self.port = 0
        self._relay: Relay | None = None
        self._relayed = ("", 0, "")
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closed = False
        self._member: Member | None = None
        self._answered: tuple[Member, Answer] | None = None
        self._last_answer = time.monotonic()
        self._trouble = ""
        self._last_logged = 0.0
        threading.Thread(target=self._poll, name="line", daemon=True).start()

    def report(self, member: Member) -> Answer | None:
        with self._lock:
            if member != self._member:
                self._wake.set()
            self._member = member
            # The answer to an older report may be out of date, such as to run a generation that has ended.
            if self._answered and self._answered[0] == member:
                return self._answered[1]
            return None

    def report_leaving(self, member: Member, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while self.report(member) is None and time.monotonic() < deadline:
            time.sleep(0.01)

    def wait_until_notified(self, timeout: float) -> None:
        pass

    def silent_for(self) -> float:
        return time.monotonic() - self._last_answer

    def close(self) -> None:
        self._closed = True
        self._wake.set()

    def _poll(self) -> None:
        while not self._closed:
            with self._lock:
                member = self._member
                self._wake.clear()
            if member:
                try:
                    answer, port = decode_answer(self._client.ask(encode_member(member)))
                    if isinstance(answer, RunRanks):
                        self._relay_to(port, answer.generation.id)
                except (OSError, http.client.HTTPException, ValueError, TypeError, KeyError) as error:
                    self._client.close()
                    self._log_trouble(error)
                else:
                    with self._lock:
                        self._answered = member, answer
                        self._last_answer = time.monotonic()
                    if self._trouble:
                        log.info("%s answers again, at %s", self._name, self._client.address)
                        self._trouble = ""
            self._wake.wait(POLL_SECONDS)
        self._client.close()
        if self._relay:
            self._relay.close()

    def _relay_to(self, port: int, generation: str) -> None:
        """Starts a new relay for each generation's rendezvous, which ranks of an older one cannot reach."""
        upstream = self._client.address, port, generation
        if upstream != self._relayed:
            if self._relay:
                self._relay.close()
            self._relay = Relay(self._client.address, port, self._key, generation)
            self._relayed, self.port = upstream, self._relay.port

    def _log_trouble(self, error: Exception) -> None:
        trouble = f"{self._host}:{self._port}: {error}"
        now = time.monotonic()
        again = now - self._last_logged > _LOG_AGAIN_SECONDS
        if self.silent_for() > 1.0 and (trouble != self._trouble or again):
            log.info("waiting for %s at %s", self._name, trouble)
            self._trouble, self._last_logged = trouble, now
