"""A supervisor's line to its coordinator: in its own process, or over the network to pod 0."""

import http.client
import logging
import socket
import threading
import time
from typing import Protocol

from trainer.distribution.coordinator import Coordinator, decode_answer, encode_member
from trainer.distribution.gang import Answer, Member

log = logging.getLogger("trainer.member")

POLL = 0.25
"""Seconds between two words to the coordinator."""
_PATIENCE = 2.0
_SAY_AGAIN = 30.0


class Line(Protocol):
    """`address` and `port`: where the rendezvous of the generation that was last given out is reached."""

    address: str
    port: int

    def tell(self, member: Member) -> Answer | None:
        """Say what is true now -> the answer to just that, None while there is none yet. Does not wait."""
        ...

    def last_words(self, member: Member, timeout: float) -> None:
        """Say it within `timeout` seconds, or never mind."""
        ...

    def silent_for(self) -> float:
        """Seconds since the coordinator was last heard."""
        ...

    def close(self) -> None: ...


class Direct:
    """To the coordinator in this process."""

    address = "127.0.0.1"
    port = 0

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    def tell(self, member: Member) -> Answer | None:
        answer, self.port = self._coordinator.tell(member)
        return answer

    def last_words(self, member: Member, timeout: float) -> None:
        self._coordinator.tell(member)

    def silent_for(self) -> float:
        return 0.0

    def close(self) -> None:
        pass


class Remote:
    """To pod 0, in a thread. A replaced pod has another address: each new connection looks its name up."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.address = ""
        self.port = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closed = False
        self._member: Member | None = None
        self._answered: tuple[Member, Answer] | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._heard = time.monotonic()
        self._trouble = ""
        self._said = 0.0
        threading.Thread(target=self._poll, name="member", daemon=True).start()

    def tell(self, member: Member) -> Answer | None:
        with self._lock:
            if member != self._member:
                self._member = member
                self._wake.set()
            # An answer to older words may be out of date, such as "run" to a generation that has just ended.
            if self._answered and self._answered[0] == member:
                return self._answered[1]
            return None

    def last_words(self, member: Member, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while self.tell(member) is None and time.monotonic() < deadline:
            time.sleep(0.01)

    def silent_for(self) -> float:
        return time.monotonic() - self._heard

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
                    answer, port = self._ask(member)
                except (OSError, http.client.HTTPException, ValueError, TypeError, KeyError) as error:
                    self._disconnect()
                    self._complain(error)
                else:
                    with self._lock:
                        self._answered, self.port = (member, answer), port
                        self._heard = time.monotonic()
                    if self._trouble:
                        log.info("pod 0 answers again, at %s", self.address)
                        self._trouble = ""
            self._wake.wait(POLL)
        self._disconnect()

    def _ask(self, member: Member) -> tuple[Answer, int]:
        connection = self._connection
        if connection is None:
            address = socket.getaddrinfo(self._host, self._port, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
            connection = http.client.HTTPConnection(str(address), self._port, timeout=_PATIENCE)
            connection.connect()
            self._connection, self.address = connection, str(address)
        connection.request("POST", "/", encode_member(member))
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise ConnectionError(f"status {response.status}")
        return decode_answer(body)

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None

    def _complain(self, error: Exception) -> None:
        trouble = f"{self._host}:{self._port}: {error}"
        now = time.monotonic()
        if self.silent_for() > 1.0 and (trouble != self._trouble or now - self._said > _SAY_AGAIN):
            log.info("waiting for pod 0 at %s", trouble)
            self._trouble, self._said = trouble, now
