"""Who may write to a run: numbered tokens in the store, of which the highest counts."""

import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from trainer.errors import EXIT_INVALID, TransientError
from trainer.runs import layout
from trainer.storage.base import Buffer, Store

MAX_TOKEN_ATTEMPTS = 100


class Superseded(TransientError):
    """A higher token exists: another process writes this run now, and this one must not write any more."""


class SupersededByAnother(Superseded):
    """The higher token belongs to another gang: a restart of this one would only take the run back."""

    exit_code = EXIT_INVALID


@dataclass
class Fence:
    """A token at `layout.token(number)`: the holder of the highest one may write the run.

    It also works on stores that ignore `if_absent`: the token is read back, and its etag is compared from
    then on, so that a holder whose token was overwritten is stopped at its next `check`.

    Attributes:
        number: the token's number.
        etag: the token's etag.
        gang: who runs the run, over all its restarts: the same in all processes of a Job. "" if unknown.
        identity: the identity of the run, see `trainer.runs.claim`; its checkpoints carry it.
    """

    store: Store
    number: int
    etag: str
    gang: str = ""
    identity: Mapping[str, Any] | None = field(default=None, repr=False)
    _newer: int | None = field(default=None, repr=False)

    @classmethod
    def take(cls, store: Store, holder: Mapping[str, Any], *, above: int = 0) -> "Fence":
        """Writes a token above the highest one and above `above`, with `holder` (plain JSON values), the time
        and a unique name. `holder["gang"]` is the gang.

        If it is superseded in the meantime, the first `check` raises: two processes that start at once do not
        take higher and higher tokens.

        Raises TransientError if others were faster a hundred times in a row, else only the store's errors.
        """
        token = dict(holder) | {"taken_at": datetime.now(UTC).isoformat(), "token": secrets.token_hex(8)}
        number = above
        for _ in range(MAX_TOKEN_ATTEMPTS):
            number = max(number, *_tokens(store), 0) + 1
            data = json.dumps(token | {"generation": number}, indent=1).encode()
            with suppress(FileExistsError):
                store.put(layout.token(number), data, if_absent=True)
            etag = _tokens(store).get(number, "")
            if store.get(layout.token(number)) == data:
                return cls(store, number, etag, token.get("gang", ""))
        raise TransientError(
            f"{store.url}: other processes took {MAX_TOKEN_ATTEMPTS} tokens in a row",
            f"Stop the processes that the tokens in {layout.TOKENS} name, and restart the run",
        )

    def check(self) -> None:
        """Lists the tokens. Raises Superseded if a higher one exists, or if this one was overwritten.

        SupersededByAnother if the higher one belongs to another gang, or has no gang, as in older versions.
        """
        if self._newer is None:
            tokens = _tokens(self.store)
            newest = max(tokens, default=0)
            if newest <= self.number and tokens.get(self.number) == self.etag:
                return
            self._newer = newest
        if self._newer < self.number:
            raise Superseded(
                f"{self.store.url}: token {self.number} is missing: the run was deleted",
                "This process stops without further writes",
            )
        superseded = f"{self.store.url}: token {self.number} was superseded by token {self._newer}"
        holder = _holder(self.store, self._newer) if self.gang else None
        if holder is not None and holder.get("gang") != self.gang:
            raise SupersededByAnother(
                f"{superseded}, taken at {holder.get('taken_at', 'an unknown time')} on host "
                f"{holder.get('host', 'unknown')}",
                "That run continues in this folder; this one has stopped permanently. Set another run.url",
            )
        raise Superseded(
            superseded, "Another process continues this run; this one stops without further writes"
        )


def newest_holder(store: Store) -> tuple[int, Mapping[str, Any]] | None:
    """The number and the content of the highest token; None if there is no token."""
    number = max(_tokens(store), default=None)
    holder = None if number is None else _holder(store, number)
    return None if number is None or holder is None else (number, holder)


def publish(store: Store, fence: Fence, key: str, data: Buffer) -> str:
    """Replaces a published object (`weights/*`, `metrics.csv`) with one PUT; returns the etag.

    Raises Superseded, before anything is changed, if a higher token exists.

    Object stores have no write that depends on another object, so a token can be taken between the check and
    the end of the PUT. At most that one PUT of the old holder still lands (its second check stops it
    permanently); it holds a valid state of the same run, and the new holder's next PUT of that key replaces
    it. The time is bounded by the store's retry budget for one PUT; on S3 a process that is frozen in between
    is bounded by its signature, which expires after 15 minutes.
    """
    fence.check()
    etag = store.put(key, data)
    fence.check()
    return etag


def _holder(store: Store, number: int) -> dict[str, Any] | None:
    """The content of a token, empty if it is not valid; None if the token does not exist."""
    try:
        return dict(json.loads(store.get(layout.token(number))))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return {}


def _tokens(store: Store) -> dict[int, str]:
    """The etag of each token, by its number."""
    numbers = ((layout.token_number(info.key), info.etag) for info in store.list(layout.TOKENS))
    return {number: etag for number, etag in numbers if number is not None}
