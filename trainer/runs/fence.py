"""Who may write to a run: tokens in the store, each one above the last."""

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
    """A higher token exists: another process writes this run now, and this one must change nothing more."""


class SupersededByAnother(Superseded):
    """The higher token is not of this gang: started again, this one would only take the run back."""

    exit_code = EXIT_INVALID


@dataclass
class Fence:
    """A token at `layout.token(number)`: who holds the highest may write what people download.

    `gang`: who runs the run, over all its restarts: the same for all processes of one Job. "" where it is not
    known.
    `identity`: of the run that it writes, see `trainer.runs.claim`; its checkpoints carry it.

    Also right on stores that ignore `if_absent`, one after the other: the token is read back, and from
    then on its etag is compared, so that whoever was overwritten learns of it at the next `check`.
    """

    store: Store
    number: int
    etag: str
    gang: str = ""
    identity: Mapping[str, Any] | None = field(default=None, repr=False)
    _newer: int | None = field(default=None, repr=False)

    @classmethod
    def take(cls, store: Store, holder: Mapping[str, Any], *, above: int = 0) -> "Fence":
        """Writes the token after the highest, and after `above`, with `holder` (JSON's kinds), the time and a
        name of its own. `holder["gang"]` is the gang.

        Who is superseded while taking it learns so at the first `check`: two that start at once do not
        chase each other upwards.

        Raises Interrupted when others win a hundred times in a row, else only the store's errors.
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
            f"{store.url}: {MAX_TOKEN_ATTEMPTS} tokens in a row were taken by others",
            f"Look in {layout.TOKENS} for who else runs this run, stop them, and start it again",
        )

    def check(self) -> None:
        """One listing. Raises Superseded when a higher token exists, or when this one was overwritten.

        SupersededByAnother where the higher one is of another gang, or says of none, as older versions' do.
        """
        if self._newer is None:
            tokens = _tokens(self.store)
            newest = max(tokens, default=0)
            if newest <= self.number and tokens.get(self.number) == self.etag:
                return
            self._newer = newest
        if self._newer < self.number:
            raise Superseded(
                f"{self.store.url}: token {self.number} is gone: the run was deleted",
                "This process stops and changes nothing more",
            )
        superseded = f"{self.store.url}: token {self.number} was superseded by token {self._newer}"
        holder = _holder(self.store, self._newer) if self.gang else None
        if holder is not None and holder.get("gang") != self.gang:
            raise SupersededByAnother(
                f"{superseded}, taken at {holder.get('taken_at', 'an unknown time')} on host "
                f"{holder.get('host', 'unknown')}",
                "That run goes on with this folder; this one stops for good. Give it a run.url of its own",
            )
        raise Superseded(
            superseded, "Another process continues this run; this one stops and changes nothing more"
        )


def newest_holder(store: Store) -> tuple[int, Mapping[str, Any]] | None:
    """The number of the highest token and what it says; None where there is none."""
    number = max(_tokens(store), default=None)
    holder = None if number is None else _holder(store, number)
    return None if number is None or holder is None else (number, holder)


def publish(store: Store, fence: Fence, key: str, data: Buffer) -> str:
    """Replaces what people download (`weights/*`, `metrics.csv`) by one PUT; returns the etag.

    Raises Superseded, before anything is changed, when a higher token exists.

    What remains: object stores have no write that depends on another object, so a token can be taken
    between the check and the end of the PUT. At most that one PUT of the old holder still lands (its
    second check stops it for good), it bears a valid state of the same run, and the new holder's next
    PUT of that key replaces it. The time is bounded by the store's retry budget for one PUT; a process
    that is frozen in between is bounded on S3 by its signature, which is refused after 15 minutes.
    """
    fence.check()
    etag = store.put(key, data)
    fence.check()
    return etag


def _holder(store: Store, number: int) -> dict[str, Any] | None:
    """What a token says, nothing where it makes no sense; None where it is gone."""
    try:
        return dict(json.loads(store.get(layout.token(number))))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return {}


def _tokens(store: Store) -> dict[int, str]:
    found = {}
    for info in store.list(layout.TOKENS):
        number = layout.token_number(info.key)
        if number is not None:
            found[number] = info.etag
    return found
