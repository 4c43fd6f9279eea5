"""Checks of a store: the operations that a run needs, and their speed."""

import math
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from trainer.doctor.finding import CheckResult
from trainer.errors import TrainerError, explain_os_error, one_line
from trainer.output.units import size
from trainer.storage import (
    CHECKSUM_SETTING,
    LARGE_BYTES,
    ObjectChanged,
    Store,
    open_store,
    retry_seconds,
)

READ_BYTES = 4 << 20
"""Size of one range, about that of a reader's requests."""
TIMED_BYTES = 64 << 20
THREADS = 8
SLOW_BYTES_PER_SECOND = 50 << 20
"""Bytes a second below which even one fast CPU may wait."""

RETRY_SECONDS = 8.0
"""How long an operation is retried where there is a deadline; a socket may be silent for half of it."""

STORE_FRACTION = 0.1
"""The fraction of the time that is left for writing; reading takes about as long."""

_IMAGE_BYTES = 224 * 224 * 3
_CONDITIONS = "Use one run.url for one run at a time, or a store with conditional writes (docs/stores.md)"
_UNKNOWN = "See docs/stores.md for what a store has to do"
_REMEDIES: list[tuple[type[Exception], str]] = [
    (PermissionError, "Set the keys of an account that may list, read, write and delete here"),
    (FileNotFoundError, "Create the bucket, or correct the URL"),
    (TimeoutError, "Correct AWS_ENDPOINT_URL, or look at the network and the server"),
]


def examine(url: str, deadline: float = math.inf) -> Iterator[CheckResult]:
    """Tries what a run needs, in a prefix of its own below `url`, where nothing is left, whatever happens.

    After the `deadline` of the monotonic clock no failed request is retried.
    """
    store = _open(url, deadline)
    small, large = (f".doctor-{uuid.uuid4().hex}/{name}" for name in ("small", "large"))
    steps: list[tuple[str, Callable[[], str]]] = [
        ("list", lambda: _list(store)),
        ("write", lambda: _write(store, small)),
        ("read a range", lambda: _read_range(store, small)),
        ("write if absent", lambda: _write_if_absent(store, small)),
        ("write if unchanged", lambda: _write_if_unchanged(store, small)),
    ]
    if store.local_root is None:
        steps.append(("write in parts", lambda: _write_in_parts(store, large)))
    written = False
    with store.no_folders_left():
        try:
            for check, action in steps:
                written = written or check == "write"
                try:
                    yield CheckResult("ok", check, action())
                except Ignored as ignored:
                    yield CheckResult("warning", check, str(ignored), _CONDITIONS)
                except Exception as error:
                    yield _failed(check, error)
                    return
            yield _delete_and_look(store, small, large)
        finally:
            with suppress(Exception):
                for key in (small, large) if written else ():
                    store.delete(key)


def _open(url: str, deadline: float) -> Store:
    budget = min(RETRY_SECONDS, retry_seconds()) if deadline < math.inf else None
    return open_store(url, on_retry=lambda cause: _check_time(url, cause, deadline), budget=budget)


def _check_time(url: str, cause: str, deadline: float) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError(f"{url}: requests fail ({cause}); `trainer doctor --full` tries for longer")


class Ignored(Exception):
    """The store ignored a condition of a request."""


def _list(store: Store) -> str:
    """One page at most: a bucket may hold millions of objects."""
    first = next(iter(store.list()), None)
    return f"{store.url} holds {'nothing yet' if first is None else 'objects'}"


def _write(store: Store, key: str) -> str:
    store.put(key, b"0123456789")
    if store.refuses_checksums:
        return f"{store.url}/{key}, without checksums, which this store refuses: set {CHECKSUM_SETTING}"
    return f"{store.url}/{key}"


def _read_range(store: Store, key: str) -> str:
    data = bytes(store.get_range(key, 2, 5))
    if data != b"234":
        kept = store.stat(key).size
        reason = f": the store kept {kept} bytes of 10; try {CHECKSUM_SETTING}" if kept != 10 else ""
        raise OSError(f"{store.url}/{key}: expected the bytes 234, received {data!r}{reason}")
    return f"{len(data)} bytes of 10"


def _write_if_absent(store: Store, key: str) -> str:
    try:
        store.put(key, b"once more", if_absent=True)
    except FileExistsError:
        if not store.refuses_conditions:
            return "supported: stale writers are fenced off"
    outcome = "refused" if store.refuses_conditions else "ignored"
    raise Ignored(f"{outcome} by this store: a stale writer may not be fenced off")


def _write_if_unchanged(store: Store, key: str) -> str:
    etag = store.put(key, b"the first version")
    store.put(key, b"the second version", if_match=etag)
    with suppress(ObjectChanged):
        store.put(key, b"a late version", if_match=etag)
        raise Ignored("ignored by this store: do not start two runs with the same run.url")
    if store.refuses_conditions:
        raise Ignored("refused by this store: do not start two runs with the same run.url")
    return "supported: only one of two concurrent runs wins"


def _write_in_parts(store: Store, key: str) -> str:
    store.put(key, bytes(LARGE_BYTES))
    count = store.stat(key).size
    if count != LARGE_BYTES:
        raise OSError(f"{store.url}/{key}: expected {LARGE_BYTES} bytes, received {count}")
    return size(count)


def _delete_and_look(store: Store, *keys: str) -> CheckResult:
    try:
        for key in keys:
            store.delete(key)
        remaining = [key for key in keys if any(info.key == key for info in store.list(key))]
    except Exception as error:
        return _failed("delete", error)
    if remaining:
        found = f"{store.url}/{remaining[0]} still exists"
        return CheckResult("error", "delete", found, "Delete it, and look for versions or locks of objects")
    return CheckResult("ok", "delete", "no objects left behind")


def _failed(check: str, error: Exception) -> CheckResult:
    """An error, with what to do about it: what the error says itself, or else what it usually is."""
    remedy = error.remedy if isinstance(error, TrainerError) else ""
    if not remedy and isinstance(error, OSError):
        remedy = explain_os_error(error).remedy
    if not remedy:
        remedy = next((text for kind, text in _REMEDIES if isinstance(error, kind)), _UNKNOWN)
    return CheckResult("error", check, one_line(error), remedy)


def speed(url: str, deadline: float = math.inf) -> Iterator[CheckResult]:
    """Writes an object, reads it in ranges as a reader does, and deletes it; a smaller one where a slow store
    would pass the deadline of the monotonic clock."""
    store = _open(url, deadline)
    key = f".doctor-{uuid.uuid4().hex}/speed"
    with store.no_folders_left():
        try:
            yield _speed(store, key, deadline)
        except Exception as error:
            yield _failed("speed", error)
        finally:
            with suppress(Exception):
                store.delete(key)


def _speed(store: Store, key: str, deadline: float) -> CheckResult:
    began = time.perf_counter()
    store.put(key, bytes(READ_BYTES))
    affordable = STORE_FRACTION * (deadline - time.monotonic()) / (time.perf_counter() - began)
    count = READ_BYTES * int(max(1, min(TIMED_BYTES // READ_BYTES, affordable)))
    began = time.perf_counter()
    store.put(key, bytes(count))
    written = time.perf_counter() - began
    with ThreadPoolExecutor(THREADS) as pool:
        began = time.perf_counter()
        starts = range(0, count, READ_BYTES)
        done = sum(pool.map(lambda start: len(store.get_range(key, start, start + READ_BYTES)), starts))
        rate = done / (time.perf_counter() - began)
    small = statistics.median(_small(store, key) for _ in range(9))
    text = (
        f"writes {size(count / written)}/s, reads {size(rate)}/s with {THREADS} threads "
        f"(about {rate / _IMAGE_BYTES:,.0f} images of 224 x 224 pixels), "
        f"a small range in {small * 1e3:.1f} ms"
    )
    if rate < SLOW_BYTES_PER_SECOND:
        remedy = "Cache images on the pods (data.cache), store JPEG (prepare --encoding jpeg), or move closer"
        return CheckResult("warning", "speed", text, remedy)
    return CheckResult("ok", "speed", text)


def _small(store: Store, key: str) -> float:
    began = time.perf_counter()
    store.get_range(key, 0, 4096)
    return time.perf_counter() - began
