"""Who trains in a run's folder now: an object that the gang's coordinator writes again every few seconds.

It keeps a second release from taking the folder of a run that lives. Who may write is decided by the tokens
alone (`trainer.runs.fence`).
"""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from trainer.errors import RunError
from trainer.runs import layout
from trainer.runs.fence import newest_holder
from trainer.storage import Store

log = logging.getLogger(__name__)

RELEASE, NAMESPACE = "TRAINER_RELEASE", "TRAINER_NAMESPACE"
TAKE_OVER = "TRAINER_TAKE_OVER"
BEAT_SECONDS = 10.0
"""Between two writes of the holder."""
LOST_SECONDS = 35.0
"""Without a write after which the holder counts as lost."""
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Holder:
    """`gang`: as in the tokens; `release` and `namespace`: of the Helm release, "" outside of a cluster."""

    gang: str
    release: str = ""
    namespace: str = ""

    @classmethod
    def from_environment(cls, gang: str, environment: Mapping[str, str] = os.environ) -> "Holder":
        """Reads TRAINER_RELEASE and TRAINER_NAMESPACE."""
        return cls(gang, environment.get(RELEASE, ""), environment.get(NAMESPACE, ""))

    def is_same_release(self, other: "Holder") -> bool:
        """Whether both are Jobs of one release."""
        mine, theirs = ((one.release, one.namespace) for one in (self, other))
        return bool(self.release) and mine == theirs

    def __str__(self) -> str:
        return f"release {self.release} in namespace {self.namespace}" if self.release else "another gang"


def write_holder(store: Store, holder: Holder) -> None:
    """Notes that the holder lives. Raises the store's errors."""
    note = asdict(holder) | {"at": datetime.now(UTC).isoformat()}
    store.put(layout.HOLDER, json.dumps(note, indent=1).encode())


def remove_holder(store: Store) -> None:
    """Notes that nobody trains in the folder. Raises the store's errors."""
    store.delete(layout.HOLDER)


def wait_for_holder(
    store: Store,
    me: Holder,
    *,
    patience: float,
    take_over: bool,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Returns when the folder is free: at once if nobody holds it, if `me` does, or with `take_over`.

    A holder is lost if it has not written for LOST_SECONDS, as this process counts them: the clocks of two
    machines are not compared. An older Job of the same release is waited for, for up to `patience` seconds.

    Raises RunError if another release trains in the folder.
    """
    seen = None if take_over else _other_holder(store, me)
    if seen is None:
        return
    began = changed = clock()
    holder, written = seen
    if holder.is_same_release(me):
        log.info("waiting for the previous Job of this release, which trains %s", store.url)
    else:
        log.info("%s has trained %s: looking whether it still does", holder, store.url)
    while clock() - changed < LOST_SECONDS and clock() - began < patience:
        sleep(_LOOK_SECONDS)
        now = _other_holder(store, me)
        if now is None:
            return
        if now[1] == written:
            continue
        holder, written = now
        changed = clock()
        if not holder.is_same_release(me):
            raise RunError(
                f"run.url: {holder} trains {store.url} now, and would be stopped permanently",
                "Use another run.url, uninstall that release first, or take its run over with takeOver=true",
            )
    log.warning("%s has not ended, or was lost: taking over %s", holder, store.url)


def _other_holder(store: Store, me: Holder) -> tuple[Holder, str] | None:
    """The gang that holds the folder, and when it last wrote by its own clock; None if there is no other.

    A note of a gang that has not the newest token does not count. Raises the store's errors.
    """
    newest = newest_holder(store)
    if newest is None or newest[1].get("gang") == me.gang:
        return None
    try:
        note = json.loads(store.get(layout.HOLDER))
        holder = Holder(*(str(note[name]) for name in ("gang", "release", "namespace")))
        at = str(note["at"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return (holder, at) if holder.gang == newest[1].get("gang") else None
