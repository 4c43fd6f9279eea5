"""A store in memory for code that waits for its answers, in a world without threads.

A call of such code is played again from its start with the answers so far, up to its next request: that one
is an event of the world, whose answer may be late, lost or an error.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer.storage.base import Buffer, ObjectChanged, ObjectInfo, RemoteStore


@dataclass(frozen=True)
class Request:
    method: str
    key: str
    data: bytes = b""
    if_absent: bool = False
    if_match: str | None = None
    start: int = 0
    stop: int = 0


class Asks(BaseException):
    """Ends a play at a request without an answer."""

    def __init__(self, request: Request) -> None:
        self.request = request


@dataclass
class Objects:
    """What the store holds: data, etag and time of each key."""

    objects: dict[str, tuple[bytes, str, float]] = field(default_factory=dict)
    writes: int = 0

    def do(self, request: Request, now: float) -> Any:
        """The answer to a request, which is an error that the store raises, or a value."""
        key = request.key
        if request.method == "list":
            found = sorted(name for name in self.objects if name.startswith(key))
            return [self._info(name) for name in found]
        if request.method == "put":
            there = self.objects.get(key)
            if request.if_absent and there:
                return FileExistsError(key)
            if request.if_match and (there is None or there[1] != request.if_match):
                return ObjectChanged(key)
            self.writes += 1
            self.objects[key] = request.data, f"etag-{self.writes}", now
            return self.objects[key][1]
        if request.method == "delete":
            self.objects.pop(key, None)
            return None
        if key not in self.objects:
            return FileNotFoundError(key)
        data = self.objects[key][0]
        if request.method == "stat":
            return self._info(key)
        return data[request.start : request.stop] if request.method == "get_range" else data

    def _info(self, key: str) -> ObjectInfo:
        data, etag, at = self.objects[key]
        return ObjectInfo(key, len(data), etag, at)


class Played(RemoteStore):
    """The store that played code sees."""

    refuses_conditions = refuses_checksums = False

    def __init__(self, answers: list[Any]) -> None:
        self.url = "memory://run"
        self._answers = iter(answers)

    def _ask(self, request: Request) -> Any:
        try:
            answer = next(self._answers)
        except StopIteration:
            raise Asks(request) from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def get(self, key: str) -> bytes:
        return self._ask(Request("get", key))  # type: ignore[no-any-return]

    def get_range(
        self, key: str, start: int, stop: int, *, etag: str | None = None, into: memoryview | None = None
    ) -> memoryview:
        assert into is not None
        data = self._ask(Request("get_range", key, start=start, stop=stop))
        if len(data) < stop - start:
            raise EOFError(key)
        into[:] = data
        return into

    def put(self, key: str, data: Buffer, *, if_absent: bool = False, if_match: str | None = None) -> str:
        return self._ask(Request("put", key, bytes(data), if_absent, if_match))  # type: ignore[no-any-return]

    def put_file(self, key: str, path: Path) -> str:
        raise NotImplementedError

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        yield from self._ask(Request("list", prefix))

    def stat(self, key: str) -> ObjectInfo:
        return self._ask(Request("stat", key))  # type: ignore[no-any-return]

    def delete(self, key: str) -> None:
        self._ask(Request("delete", key))


Code = Callable[[Played], Any]


def play(code: Code, answers: list[Any]) -> Request | tuple[Any, Exception | None]:
    """Plays `code` with these answers -> its next request, or its result and error."""
    try:
        return code(Played(answers)), None
    except Asks as asks:
        return asks.request
    except Exception as error:
        return None, error
