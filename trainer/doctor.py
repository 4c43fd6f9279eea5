"""`trainer doctor`: does this machine have what a run needs, and does a store do what we ask of it?"""

import platform
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata

from trainer import __version__
from trainer.observability.process import available_cores
from trainer.storage import Store, open_store


@dataclass(frozen=True)
class Finding:
    """`mark` is ok, warning or error."""

    mark: str
    what: str
    found: str


def examine(url: str | None) -> list[Finding]:
    """What was found out about this machine and, where given, the store at `url`."""
    return [*_machine(), *(_store(url) if url else ())]


def _machine() -> Iterator[Finding]:
    yield Finding("ok", "trainer", __version__)
    yield Finding("ok", "python", f"{platform.python_version()} at {sys.executable}")
    yield Finding("ok", "cores", str(available_cores()))
    for names, need in ((("tensorflow-cpu", "tensorflow"), "training"), (("horovod",), "several ranks")):
        found = next((f"{n} {v}" for n in names if (v := _version(n))), None)
        yield Finding("ok" if found else "warning", names[-1], found or f"not installed: no {need} here")


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _store(url: str) -> Iterator[Finding]:
    store = open_store(url)
    key = f".doctor-{uuid.uuid4().hex}"
    steps: tuple[tuple[str, Callable[[], str]], ...] = (
        ("list", lambda: f"{sum(1 for _ in store.list())} objects at {store.url}"),
        ("write", lambda: store.put(key, b"0123456789")),
        ("read a range", lambda: bytes(store.get_range(key, 2, 5)).decode()),
    )
    try:
        for what, action in steps:
            try:
                yield Finding("ok", what, action())
            except Exception as error:
                yield Finding("error", what, " ".join(str(error).split()))
                return
        yield _conditional_put(store, key)
    finally:
        _try_to_delete(store, key)


def _conditional_put(store: Store, key: str) -> Finding:
    try:
        store.put(key, b"once more", if_absent=True)
    except FileExistsError:
        return Finding("ok", "conditional writes", "respected: stale writers are fenced off")
    return Finding(
        "warning", "conditional writes", "ignored by this store: a stale writer may not be fenced off"
    )


def _try_to_delete(store: Store, key: str) -> None:
    try:
        store.delete(key)
    except (OSError, TimeoutError):
        return
