"""Removes a run from the store.

An interruption leaves a run that can still be resumed, or what `trainer runs` shows as `begun`: run.json goes
last, so that it can be removed again. Only what a run writes is deleted; other objects in its folder stay.
"""

import socket
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypedDict

from trainer.errors import ConfigError, DataError, RunError, TransientError
from trainer.output.units import span
from trainer.runs import layout
from trainer.runs.fence import Fence
from trainer.runs.find_runs import HERE
from trainer.runs.run_document import read_document
from trainer.storage import ObjectInfo, Store, join, open_store

LIVE_SECONDS = 300.0
"""A run that wrote something in this time, or in two intervals of its checkpoints, may be running."""

MAX_ROUNDS = 5
WORKERS = 8


class RemovedRuns(TypedDict):
    """What was deleted.

    Attributes:
        removed: URLs of the runs.
    """

    removed: list[str]


@dataclass(frozen=True)
class Removable:
    """A run that may be removed: its URL, its objects, their bytes, when the last was written (seconds since
    the epoch), and the objects in its folder that are not the run's, which stay."""

    url: str
    objects: int
    size: int
    changed: float
    others: int


def find_removable(prefix: Store, name: str, *, force: bool = False, now: float | None = None) -> Removable:
    """The run `name` below `prefix`, as `trainer runs` names it.

    Raises DataError where there is no such run, RunError where it may be running, unless `force`.
    """
    store = open_store(_url(prefix, name))
    everything = list(store.list())
    own = list(_own(everything))
    keys = {info.key for info in own}
    if layout.RUN not in keys and not any(layout.token_number(key) for key in keys):
        raise DataError(
            f"{store.url}: there is no run here", f"Name one that `trainer runs {prefix.url}` lists"
        )
    found = Removable(
        url=store.url,
        objects=len(own),
        size=sum(info.size for info in own),
        changed=max(info.modified for info in own),
        others=len(everything) - len(own),
    )
    age = (time.time() if now is None else now) - found.changed
    if not force and layout.FINISHED not in keys and age < _live_seconds(store, keys):
        raise RunError(
            f"{store.url} was written to {span(age)} ago and may be running", "Stop it first, or add --force"
        )
    return found


def remove(url: str) -> None:
    """Deletes every object of the run at `url`. Writers that are still there are stopped by a new token.

    Raises Superseded when a process starts the run meanwhile.
    """
    store = open_store(url)
    fence = Fence.take(store, {"removes": url, "host": socket.gethostname()})
    for _ in range(MAX_ROUNDS):
        own = [info.key for info in _own(store.list())]
        if not own:
            return
        if any(layout.token_number(key) for key in own):
            fence.check()
        for keys in _in_order(own):
            with ThreadPoolExecutor(WORKERS) as pool:
                list(pool.map(store.delete, keys))
    raise TransientError(
        f"{store.url}: another process still writes here", "Stop it, and remove the run again"
    )


def _in_order(keys: Iterable[str]) -> list[list[str]]:
    """First what says that the run is finished, then what makes its checkpoints whole; run.json last."""
    groups: list[list[str]] = [[], [], [], [], []]
    for key in keys:
        if key == layout.FINISHED:
            groups[0].append(key)
        elif layout.file_name(key) == layout.COMMIT:
            groups[1].append(key)
        elif layout.token_number(key):
            groups[3].append(key)
        elif key == layout.RUN:
            groups[4].append(key)
        else:
            groups[2].append(key)
    return groups


def _own(objects: Iterable[ObjectInfo]) -> Iterable[ObjectInfo]:
    return (info for info in objects if (split := layout.split_run(info.key)) and not split[0])


def _url(prefix: Store, name: str) -> str:
    parts = name.strip("/").split("/")
    if name == HERE:
        return prefix.url
    if not all(parts) or ".." in parts or HERE in parts:
        raise ConfigError(
            f"--remove: expected the name of a run below {prefix.url}, received {name!r}",
            f"Name one that `trainer runs {prefix.url}` lists",
        )
    return join(prefix.url, *parts)


def _live_seconds(store: Store, keys: Iterable[str]) -> float:
    if layout.RUN not in keys:
        return LIVE_SECONDS
    every = read_document(store)["config"].get("run", {}).get("checkpoint", {}).get("every", {})
    seconds = every.get("count", 0.0) if every.get("unit") == "seconds" else 0.0
    return max(LIVE_SECONDS, 2 * float(seconds))
