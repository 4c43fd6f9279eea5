"""`trainer doctor`: does this machine have what a run needs, and does a store do what we ask of it?"""

import platform
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata

from trainer import __version__
from trainer.observability.process import available_cores
from trainer.output.units import size
from trainer.storage import LARGE_BYTES, ObjectChanged, Store, no_folders_left, open_store, refuses_conditions


@dataclass(frozen=True)
class Finding:
    """`mark` is ok, warning or error."""

    mark: str
    what: str
    found: str


def examine(url: str | None) -> list[Finding]:
    """What was found out about this machine and, where given, the store at `url`."""
    return [*_machine(), *(_store(url) if url is not None else ())]


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
    """Tries what a run needs, in a prefix of its own below `url`, where nothing is left, whatever happens."""
    store = open_store(url)
    small, large = (f".doctor-{uuid.uuid4().hex}/{name}" for name in ("small", "large"))
    steps: list[tuple[str, Callable[[], str]]] = [
        ("list", lambda: _list(store)),
        ("write", lambda: _write(store, small)),
        ("read a range", lambda: _read_range(store, small)),
        ("write if absent", lambda: _write_if_absent(store, small)),
        ("write if unchanged", lambda: _write_if_unchanged(store, small)),
    ]
    if store.url.startswith("s3://"):
        steps.append(("write in parts", lambda: _write_in_parts(store, large)))
    written = False
    with no_folders_left(store):
        try:
            for what, action in steps:
                written = written or what == "write"
                try:
                    yield Finding("ok", what, action())
                except Ignored as ignored:
                    yield Finding("warning", what, str(ignored))
                except Exception as error:
                    yield Finding("error", what, " ".join(str(error).split()))
                    return
            yield _delete_and_look(store, small, large)
        finally:
            for key in (small, large) if written else ():
                with suppress(Exception):
                    store.delete(key)


class Ignored(Exception):
    """The store answered, and did not do all that it was asked for."""


def _list(store: Store) -> str:
    """One page at most: a bucket may hold millions of objects."""
    first = next(iter(store.list()), None)
    return f"{store.url} holds {'nothing yet' if first is None else 'objects'}"


def _write(store: Store, key: str) -> str:
    store.put(key, b"0123456789")
    return f"{store.url}/{key}"


def _read_range(store: Store, key: str) -> str:
    found = bytes(store.get_range(key, 2, 5))
    if found != b"234":
        raise OSError(f"{store.url}/{key}: expected the bytes 234, received {found!r}")
    return f"{len(found)} bytes of 10"


def _write_if_absent(store: Store, key: str) -> str:
    try:
        store.put(key, b"once more", if_absent=True)
    except FileExistsError:
        if not refuses_conditions(store):
            return "respected: stale writers are fenced off"
    how = "refused" if refuses_conditions(store) else "ignored"
    raise Ignored(f"{how} by this store: a stale writer may not be fenced off")


def _write_if_unchanged(store: Store, key: str) -> str:
    etag = store.put(key, b"the first version")
    store.put(key, b"the second version", if_match=etag)
    with suppress(ObjectChanged):
        store.put(key, b"a late version", if_match=etag)
        raise Ignored("ignored by this store: start no two runs at the same time with one run.url")
    if refuses_conditions(store):
        raise Ignored("refused by this store: start no two runs at the same time with one run.url")
    return "respected: of two runs that are started with one run.url, one wins"


def _write_in_parts(store: Store, key: str) -> str:
    store.put(key, bytes(LARGE_BYTES))
    found = store.stat(key).size
    if found != LARGE_BYTES:
        raise OSError(f"{store.url}/{key}: expected {LARGE_BYTES} bytes, found {found}")
    return size(found)


def _delete_and_look(store: Store, *keys: str) -> Finding:
    try:
        for key in keys:
            store.delete(key)
        left = [key for key in keys if any(info.key == key for info in store.list(key))]
    except Exception as error:
        return Finding("error", "delete", " ".join(str(error).split()))
    if left:
        return Finding("error", "delete", f"{store.url}/{left[0]} is still there")
    return Finding("ok", "delete", "nothing is left of this check")
