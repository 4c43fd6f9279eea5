"""Whom a pod reports to, and when it coordinates itself: pure.

Pod 0 coordinates first. A pod that gets no answer reads the newest token of the run, and tries in turn the
coordinator that the token names and the pods of its generation, the lowest first. When it is its own turn, it
coordinates: it takes a token as soon as enough pods report to it. So pods that reach each other meet at the
lowest of them, and a pod that reaches nobody changes nothing.
"""

import re
from dataclasses import dataclass, replace

from trainer.gang.leading.tokens import Lead

PATIENCE = 10.0
"""Seconds without an answer after which a pod looks for another coordinator."""
NEXT_PATIENCE = 3.0
"""Seconds for which it then tries each of the other pods."""
FRESH_ANSWER_SECONDS = 2.0
"""A pod whose coordinator has answered within this many seconds sends others there."""
CANDIDATE_SECONDS = 30.0
"""Seconds without a generation after which a pod that coordinates, but hears from no other, looks for the
others again."""
PATIENT_FACTOR = 4
"""A pod that hears from others, but not from enough, waits this many times as long."""


@dataclass(frozen=True)
class Contact:
    """
    Attributes:
        pod: this pod's number.
        count: how many pods the gang is to have.
        gang: as in tokens.
        home: pod 0's address; of an Indexed Job's form `JOB-0.SERVICE:PORT`, it gives the other pods' too.
        target: the address of the pod that it reports to; "" while it coordinates itself.
        since: when it last had an answer, or began to try, in seconds of a steady clock.
        tried: the addresses that have not answered since; "" after this pod has coordinated in vain.
    """

    pod: int
    count: int
    gang: str
    home: str
    target: str
    since: float
    tried: frozenset[str] = frozenset()

    @property
    def coordinates(self) -> bool:
        return not self.target


def first_contact(pod: int, count: int, gang: str, home: str, lead: Lead | None, now: float) -> Contact:
    """Pod 0 coordinates, unless the newest token names another pod; the other pods ask pod 0."""
    target = home
    if pod == 0:
        another = lead is not None and lead.gang == gang and lead.pod > 0
        target = lead.address if lead and another else ""
    return Contact(pod, count, gang, home, target, now)


def answered(contact: Contact, now: float) -> Contact:
    return replace(contact, since=now, tried=frozenset())


def redirected(contact: Contact, address: str, now: float) -> Contact:
    """Goes to the address that another pod has named, unless that one has not answered before, or this pod
    coordinates: then the answer is late."""
    if contact.coordinates or not address or address == contact.target or address in contact.tried:
        return contact
    return replace(contact, target=address, since=now, tried=contact.tried | {contact.target})


def is_overdue(contact: Contact, now: float) -> bool:
    """Whether the pod that this one reports to has not answered for too long."""
    patience = NEXT_PATIENCE if contact.tried else PATIENCE
    return not contact.coordinates and now - contact.since > patience


def is_in_vain(contact: Contact, *, alone: bool, now: float) -> bool:
    """Whether a pod that coordinates, and has formed no generation, looks for the others again."""
    factor = 1 if alone else PATIENT_FACTOR
    return contact.coordinates and now - contact.since > factor * CANDIDATE_SECONDS


def known_coordinator(contact: Contact, now: float) -> str:
    """The address to send other pods to; "" while this pod itself has no answer."""
    return "" if contact.tried or now - contact.since > FRESH_ANSWER_SECONDS else contact.target


def next_contact(contact: Contact, lead: Lead | None, now: float) -> Contact:
    """The next pod to try, which may be this one. `lead`: the newest token, read after `is_overdue`."""
    tried = contact.tried | {contact.target}
    turns = _turns(contact, lead)
    for pod, address in turns:
        if pod == contact.pod:
            return replace(contact, target="", since=now, tried=frozenset())
        if address not in tried:
            return replace(contact, target=address, since=now, tried=tried)
    return replace(contact, target=turns[0][1], since=now, tried=frozenset())


def _turns(contact: Contact, lead: Lead | None) -> list[tuple[int, str]]:
    """The pods that may coordinate, with their addresses, in their order.

    Without a token of this gang, those of an Indexed Job, by their names. If the token names no pods, as on
    stores without conditional writes, pod 0 alone.
    """
    home = (0, contact.home)
    if lead is None or lead.gang != contact.gang:
        names = ((pod, name_of(contact.home, pod)) for pod in range(1, contact.count))
        return [home, *((pod, name) for pod, name in names if name)]
    if not lead.address:
        return [home]
    pods = {contact.pod, *lead.pods, *range(contact.count)} - {0}
    others = ((pod, name_of(contact.home, pod) or lead.pods.get(pod, "")) for pod in sorted(pods))
    return [(lead.pod, lead.address), home, *((pod, at) for pod, at in others if at or pod == contact.pod)]


def give_way(contact: Contact, lead: Lead | None, now: float) -> Contact:
    """Whom to report to instead of coordinating in vain: the coordinator that the newest token names, if that
    is another pod; pod 0 without such a token."""
    named = lead is not None and lead.gang == contact.gang and lead.address
    pod, address = (lead.pod, lead.address) if lead and named else (0, contact.home)
    if pod == contact.pod:
        return replace(contact, since=now)
    return replace(contact, target=address, since=now, tried=frozenset({contact.target}))


def name_of(home: str, pod: int) -> str:
    """The name of a pod of an Indexed Job, by that of pod 0, with or without a port; "" for other names.

    >>> name_of("cars-0.gang:29400", 3)
    'cars-3.gang:29400'
    """
    named, count = re.subn(r"^([^.:]+)-0(?=[.:]|$)", rf"\g<1>-{pod}", home)
    return named if count else ""


def host_and_port(host: str, port: int) -> str:
    """`host:port`; an IPv6 address has brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
