"""A pod's connection to whichever pod coordinates, which may be itself, or become it."""

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from trainer.gang.coordinator import Coordinator, answer_to
from trainer.gang.leading.contact import (
    answered,
    first_contact,
    give_way,
    host_and_port,
    is_in_vain,
    is_overdue,
    known_coordinator,
    name_of,
    next_contact,
    redirected,
)
from trainer.gang.leading.heartbeat import Heartbeat
from trainer.gang.leading.holder import Holder
from trainer.gang.leading.keeper import TokenKeeper
from trainer.gang.leading.tokens import Lead, read_lead
from trainer.gang.line import POLL_SECONDS, Direct, Line, Remote
from trainer.gang.members import Answer, Member, Redirect
from trainer.gang.messages import encode_answer
from trainer.gang.network.event_server import EventServer
from trainer.gang.network.reports import report_server
from trainer.gang.pods import Pods, split_address
from trainer.storage import Store

log = logging.getLogger("trainer.line")

_ASLEEP_SECONDS = 2.0

MakeCoordinator = Callable[[TokenKeeper], Coordinator]


class Elected:
    """See `Line`. A thread follows the contact: it reads the tokens, and changes whom this pod reports to.

    Raises ConfigError if pod 0's port is taken.
    """

    def __init__(self, pods: Pods, store: Store, gang: str, uid: str, make: MakeCoordinator) -> None:
        self._pods, self._store, self._uid, self._make = pods, store, uid, make
        self._coordinator: Coordinator | None = None
        self._line: Line | None = None
        self._redirect = ""
        self._last_answer = self._last_turn = time.monotonic()
        self._leaving = threading.Event()
        lead, home = self._read_lead(), host_and_port(pods.coordinator, pods.port)
        self._contact = first_contact(pods.index, pods.count, gang, home, lead, time.monotonic())
        self._server = self._serve()
        self._address = own_address(pods, self._server.port)
        self._connect(lead)
        threading.Thread(target=self._follow, name="election", daemon=True).start()
        self._heartbeat = Heartbeat(store, Holder.from_environment(gang), self._leads)

    @property
    def port(self) -> int:
        return self._line.port if self._line else 0

    def report(self, member: Member) -> Answer | None:
        line = self._line
        if line is None:
            return None
        answer = line.report(_with_port(member, self._server.port))
        if isinstance(answer, Redirect):
            self._redirect = answer.address
            return None
        if answer is not None and line is self._line:
            self._last_answer = time.monotonic() - line.silent_for()
        return answer

    def report_leaving(self, member: Member, timeout: float) -> None:
        self._leaving.set()
        if self._line:
            self._line.report_leaving(_with_port(member, self._server.port), timeout)

    def wait_until_notified(self, timeout: float) -> None:
        if self._line:
            self._line.wait_until_notified(timeout)

    def silent_for(self) -> float:
        return time.monotonic() - self._last_answer

    def close(self) -> None:
        self._leaving.set()
        self._heartbeat.close()
        if self._line:
            self._line.close()
        self._server.close()

    def _leads(self) -> bool:
        """Whether this pod coordinates a gang that has formed, and that no other has replaced."""
        coordinator = self._coordinator
        return coordinator is not None and coordinator.has_formed and not coordinator.is_superseded

    def _follow(self) -> None:
        while not self._leaving.wait(POLL_SECONDS):
            now, asleep = time.monotonic(), time.monotonic() - self._last_turn
            self._last_turn = now
            if asleep > _ASLEEP_SECONDS:  # as a whole: nobody could answer in that time
                self._contact = replace(self._contact, since=self._contact.since + asleep)
            with suppress(OSError):
                self._follow_once(now)

    def _follow_once(self, now: float) -> None:
        contact, lead = self._contact, None
        if self._coordinator:
            if self._coordinator.deposed:
                lead = self._coordinator.deposed
                new = give_way(contact, lead, now)
            elif not self._coordinator.has_formed and is_in_vain(
                contact, alone=self._coordinator.is_alone, now=now
            ):
                lead = self._read_lead()
                new = give_way(contact, lead, now)
            else:
                return
        else:
            if self._last_answer > contact.since:
                contact = answered(contact, self._last_answer)
            redirect, self._redirect = self._redirect, ""
            new = redirected(contact, redirect, now)
            if is_overdue(new, now):
                lead = self._read_lead()
                new = next_contact(new, lead, now)
        changed = new.target != self._contact.target
        self._contact = new
        if changed and not self._leaving.is_set():
            self._connect(lead)

    def _connect(self, lead: Lead | None) -> None:
        """Makes the line of `self._contact`. `lead`: the newest token."""
        old, self._line, self._coordinator = self._line, None, None
        if old:
            old.close()
        contact = self._contact
        if contact.coordinates:
            mine = Lead(contact.gang, self._uid, self._pods.index, self._address)
            coordinator = self._make(TokenKeeper(self._store, mine, lead))
            self._line = Direct(coordinator)
            self._coordinator = coordinator
            if self._pods.index:
                log.warning("pod %d coordinates now: the coordinator did not answer", self._pods.index)
        else:
            host, port = split_address(contact.target)
            is_home = (host, int(port)) == (self._pods.coordinator, self._pods.port)
            name = "pod 0" if is_home else "the coordinator"
            self._line = Remote(host, int(port), self._pods.key, name=name)

    def _read_lead(self) -> Lead | None:
        return read_lead(self._store)

    def _serve(self) -> EventServer:
        """At pod 0's port where the other pods know this one by its name, else at any free one."""
        named = not self._pods.index or name_of(self._pods.coordinator, self._pods.index)
        port = self._pods.port if named else 0
        return report_server(self._answer, "", port, self._pods.key)

    def _answer(self, report: bytes, client: str) -> bytes:
        if coordinator := self._coordinator:
            return answer_to(coordinator, report, client)
        return encode_answer(Redirect(known_coordinator(self._contact, time.monotonic())), 0)


def _with_port(member: Member, port: int) -> Member:
    return replace(member, port=port)


def own_address(pods: Pods, port: int) -> str:
    """Where other pods reach this one: by its name in an Indexed Job, else by its host's address."""
    if pods.index == 0:
        return host_and_port(pods.coordinator, port)
    host = name_of(pods.coordinator, pods.index) or socket.gethostbyname(socket.gethostname())
    return host_and_port(host, port)
