"""Takes the tokens for the generations of one coordinator, and notices when another one coordinates."""

import logging
import secrets
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from trainer.errors import TransientError
from trainer.gang.leading.tokens import Deposed, Lead, Taken, TakenByAnother, judge, read_lead, take_token
from trainer.runs import layout
from trainer.storage import Store

log = logging.getLogger("trainer.coordinator")

WATCH_SECONDS = 10.0
"""Seconds between two looks at the newest token."""
_RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Unconditional:
    """The store has no conditional writes: pod 0 alone coordinates, and chiefs take their own tokens."""


Outcome = Taken | Deposed | TakenByAnother | Unconditional


class TokenKeeper:
    """Works in one thread at a time, which ends after each request.

    Args:
        mine: this coordinator.
        seen: the newest token when this one began to coordinate.

    Attributes:
        known: the newest token of this gang at that time, else `mine`.
    """

    def __init__(self, store: Store, mine: Lead, seen: Lead | None) -> None:
        self._store, self.mine, self._seen = store, mine, seen
        self.known = seen if seen and seen.gang == mine.gang else mine
        self._checked = False
        self._outcome: Outcome | None = None
        self._thread: threading.Thread | None = None
        self._next = self._next_watch = time.monotonic()
        self._trouble = ""

    def poll(self, wanted: Lead | None) -> Outcome | None:
        """What has happened since the last call; returns at once.

        Args:
            wanted: what the token says that is to be taken; None for no token.
        """
        if self._thread and self._thread.is_alive():
            return None
        outcome, self._outcome = self._outcome, None
        now = time.monotonic()
        if outcome is None and now >= (self._next_watch if wanted is None else self._next):
            self._next_watch = now + WATCH_SECONDS
            self._thread = threading.Thread(target=self._work, args=(wanted,), name="tokens", daemon=True)
            self._thread.start()
        return outcome

    def _work(self, wanted: Lead | None) -> None:
        try:
            self._outcome = self._watch() if wanted is None else self._take(wanted)
            self._trouble = ""
        except (OSError, TransientError) as error:
            self._next = time.monotonic() + _RETRY_SECONDS
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.warning("the run's tokens: %s; trying again", error)

    def _watch(self) -> Outcome | None:
        newest = read_lead(self._store)
        if newest is None or newest.number <= (self._seen.number if self._seen else 0):
            return None
        return judge(newest, self.mine, self._seen)

    def _take(self, lead: Lead) -> Outcome:
        extra = {
            "host": socket.gethostname(),
            "taken_at": datetime.now(UTC).isoformat(),
            "token": secrets.token_hex(8),
        }
        outcome = take_token(self._store, lead, self._seen, extra)
        if isinstance(outcome, Taken):
            self._seen = replace(lead, number=outcome.number)
            if not self._checked and not self._has_conditions(outcome.number):
                return Unconditional()
            self._checked = True
        return outcome

    def _has_conditions(self, number: int) -> bool:
        """Tries to replace our own token by one that names no coordinator, as is right without conditional
        writes."""
        data = b'{"gang": "%s", "generation": %d}' % (self.mine.gang.encode(), number)
        with suppress(FileExistsError):
            self._store.put(layout.token(number), data, if_absent=True)
            return False
        return not self._store.refuses_conditions
