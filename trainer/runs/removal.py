"""Removes a run from the store.

An interruption leaves a run that can still be resumed, or that `trainer runs` lists as `begun`: run.json is
deleted last, so that the removal can be repeated. Only objects of a run are deleted; others in its folder
stay.
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
"""A run that wrote an object within this time, or within two checkpoint intervals, may be running."""

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
    """A run that can be removed.

    Attributes:
        objects: the number of its objects.
        size: their bytes.
        changed: when the last one was written, in seconds since the epoch.
        others: the number of objects in its folder that are not the run's, and stay.
    """

    url: str
    objects: int
    size: int
    changed: float
    others: int


def find_removable(prefix: Store, name: str, *, force: bool = False, now: float | None = None) -> Removable:
    """The run `name` below `prefix`, as `trainer runs` lists it.

    Raises DataError if there is no such run, RunError if it may be running, unless `force`.
    """
    store = open_store(_url(prefix, name))
    in_folder = list(store.list())
    in_run = list(_of_run(in_folder))
    keys = {info.key for info in in_run}
    if layout.RUN not in keys and not any(layout.token_number(key) for key in keys):
        raise DataError(
            f"{store.url}: there is no run here", f"Specify one that `trainer runs {prefix.url}` lists"
        )
    run = Removable(
        url=store.url,
        objects=len(in_run),
        size=sum(info.size for info in in_run),
        changed=max(info.modified for info in in_run),
        others=len(in_folder) - len(in_run),
    )
    age = (time.time() if now is None else now) - run.changed
    if not force and layout.FINISHED not in keys and age < _live_seconds(store, keys):
        raise RunError(
            f"{store.url} was written to {span(age)} ago and may be running", "Stop it first, or add --force"
        )
    return run


def remove(url: str) -> None:
    """Deletes every object of the run at `url`. A new token stops processes that still write it.

    Raises Superseded if a process starts the run in the meantime.
    """
    store = open_store(url)
    fence = Fence.take(store, {"removes": url, "host": socket.gethostname()})
    for _ in range(MAX_ROUNDS):
        run_keys = [info.key for info in _of_run(store.list())]
        if not run_keys:
            return
        if any(layout.token_number(key) for key in run_keys):
            fence.check()
        for keys in _in_order(run_keys):
            with ThreadPoolExecutor(WORKERS) as pool:
                list(pool.map(store.delete, keys))
    raise TransientError(
        f"{store.url}: another process is still writing here", "Stop it, and remove the run again"
    )


def _in_order(keys: Iterable[str]) -> list[list[str]]:
    """The keys in the order of deletion: finished.json, commits, other objects, tokens, run.json."""
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


def _of_run(objects: Iterable[ObjectInfo]) -> Iterable[ObjectInfo]:
    return (info for info in objects if (split := layout.split_run(info.key)) and not split[0])


def _url(prefix: Store, name: str) -> str:
    parts = name.strip("/").split("/")
    if name == HERE:
        return prefix.url
    if not all(parts) or ".." in parts or HERE in parts:
        raise ConfigError(
            f"--remove: expected the name of a run below {prefix.url}, received {name!r}",
            f"Specify one that `trainer runs {prefix.url}` lists",
        )
    return join(prefix.url, *parts)


def _live_seconds(store: Store, keys: Iterable[str]) -> float:
    if layout.RUN not in keys:
        return LIVE_SECONDS
    every = read_document(store)["config"].get("run", {}).get("checkpoint", {}).get("every", {})
    seconds = every.get("count", 0.0) if every.get("unit") == "seconds" else 0.0
    return max(LIVE_SECONDS, 2 * float(seconds))
