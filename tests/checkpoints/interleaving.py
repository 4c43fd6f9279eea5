"""An object store in memory whose every request is a point where another actor may go first, or all may end.

Actors run in threads, one at a time: who makes the next request, and what becomes of it, is decided from
outside, so a schedule is a list of decisions and runs the same every time.
"""

import _thread
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TypeVar

from trainer.storage.base import Buffer, ObjectChanged, ObjectInfo, RemoteStore

T = TypeVar("T")


class Fate(Enum):
    """What becomes of one request."""

    DONE = "done"
    CRASH_BEFORE = "the process ends before it is carried out"
    CRASH_AFTER = "the process ends after it was carried out, without the answer"
    FAIL_BEFORE = "it is not carried out, and the process is told of a timeout"
    FAIL_AFTER = "it is carried out, and the process is told of a timeout"


PAGE_KEYS = 5
TROUBLES = tuple(Fate)[1:]


class Crash(BaseException):
    """Ends an actor as SIGKILL would: nothing of it catches this."""


@dataclass(frozen=True)
class Request:
    """One carried-out request, in the order of the world; `answered` if its actor heard of it."""

    actor: str
    method: str
    key: str
    answered: bool


@dataclass
class World:
    """The objects, and all that was done to them."""

    objects: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    history: list[Request] = field(default_factory=list)
    conditional_writes: bool = True
    writes: int = 0

    def put(self, key: str, data: bytes, if_absent: bool, if_match: str | None) -> str:
        if if_absent and self.conditional_writes and key in self.objects:
            raise FileExistsError(key)
        if if_match and self.conditional_writes and self.objects.get(key, (b"", ""))[1] != if_match:
            raise ObjectChanged(key)
        self.writes += 1
        self.objects[key] = data, f"etag-{self.writes}"
        return self.objects[key][1]


class Actor(RemoteStore):
    """A process with its own connection to the world; waits for a turn before every request."""

    refuses_conditions = refuses_checksums = False

    def __init__(self, name: str, world: World, program: Callable[["Actor"], None]) -> None:
        self.name = name
        self.url = "memory://run"
        self.world = world
        self.program = program
        self.over = False
        self.error: BaseException | None = None
        self.fate = Fate.DONE
        self._turn = _thread.allocate_lock()
        self._paused = _thread.allocate_lock()
        self._turn.acquire()
        self._paused.acquire()
        _thread.start_new_thread(self._run, ())
        self._paused.acquire()

    def _run(self) -> None:
        try:
            self.program(self)
        except Crash:
            pass
        except BaseException as error:
            self.error = error
        finally:
            self.over = True
            self._paused.release()

    def go(self, fate: Fate) -> None:
        """Lets the pending request happen, and returns at the next one or at the end."""
        self.fate = fate
        self._turn.release()
        self._paused.acquire()

    def _request(self, method: str, key: str, effect: Callable[[], T]) -> T:
        self._paused.release()
        self._turn.acquire()
        fate = self.fate
        if fate is Fate.CRASH_BEFORE:
            raise Crash
        if fate is Fate.FAIL_BEFORE:
            raise TimeoutError(key)
        self.world.history.append(Request(self.name, method, key, fate is Fate.DONE))
        result = effect()
        if fate is Fate.CRASH_AFTER:
            raise Crash
        if fate is Fate.FAIL_AFTER:
            raise TimeoutError(key)
        return result

    def _object(self, key: str) -> tuple[bytes, str]:
        try:
            return self.world.objects[key]
        except KeyError:
            raise FileNotFoundError(key) from None

    def get(self, key: str) -> bytes:
        return self._request("get", key, lambda: self._object(key)[0])

    def get_range(
        self, key: str, start: int, stop: int, *, etag: str | None = None, into: memoryview | None = None
    ) -> memoryview:
        data = self._request("get", key, lambda: self._object(key)[0])[start:stop]
        assert into is not None
        into[:] = data
        return into

    def put(self, key: str, data: Buffer, *, if_absent: bool = False, if_match: str | None = None) -> str:
        copy = bytes(data)
        return self._request("put", key, lambda: self.world.put(key, copy, if_absent, if_match))

    def put_file(self, key: str, path: Path) -> str:
        raise NotImplementedError

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """In pages, each of its own moment."""
        after, more = "", True
        while more:
            page = self._request("list", prefix, functools.partial(self._page, prefix, after))
            yield from page
            more = len(page) == PAGE_KEYS
            after = page[-1].key if page else after

    def _page(self, prefix: str, after: str) -> tuple[ObjectInfo, ...]:
        keys = sorted(key for key in self.world.objects if key.startswith(prefix) and key > after)
        found = ((key, *self.world.objects[key]) for key in keys[:PAGE_KEYS])
        return tuple(ObjectInfo(key, len(data), etag) for key, data, etag in found)

    def stat(self, key: str) -> ObjectInfo:
        data, etag = self._request("stat", key, lambda: self._object(key))
        return ObjectInfo(key, len(data), etag)

    def delete(self, key: str) -> None:
        self._request("delete", key, lambda: self.world.objects.pop(key, None))


Choice = tuple[int, Fate]
"""Which of the actors makes the next request (an index), and what becomes of it."""

Decide = Callable[[Sequence[int]], Choice]
"""Gets the indices of the actors that still run."""


def play(actors: Sequence[Actor], decide: Decide) -> None:
    """Runs all actors to their ends; `decide` picks who goes next. Raises what an actor raises."""
    while alive := [i for i, actor in enumerate(actors) if not actor.over]:
        index, fate = decide(alive)
        actors[index].go(fate)
        error = actors[index].error
        if error is not None:
            raise error


def explore(story: Callable[[Decide], None], preemptions: int, troubles: int) -> int:
    """Plays `story` once for every schedule with at most so many preemptions and troubled requests.

    A preemption is another actor's turn while the one before could go on (as in: Musuvathi and Qadeer,
    "Iterative context bounding for systematic testing of multithreaded programs", PLDI 2007). Returns
    how many schedules there are.
    """
    stories = 0
    pending: list[tuple[list[Choice], int, int]] = [([], preemptions, troubles)]
    while pending:
        prefix, switches, faults = pending.pop()
        trace: list[Choice] = []
        for at, alive in _replay(story, prefix, trace):
            taken = trace[at]
            before = trace[at - 1][0] if at else None
            for other in alive:
                cost = 1 if before in alive and other != before else 0
                if other != taken[0] and cost <= switches:
                    pending.append(([*trace[:at], (other, Fate.DONE)], switches - cost, faults))
            if faults:
                pending.extend(([*trace[:at], (taken[0], fate)], switches, faults - 1) for fate in TROUBLES)
        stories += 1
    return stories


def _replay(
    story: Callable[[Decide], None], prefix: list[Choice], trace: list[Choice]
) -> list[tuple[int, Sequence[int]]]:
    """Plays `prefix`, then without preemption or trouble; returns the later decisions' places and choices."""
    later: list[tuple[int, Sequence[int]]] = []

    def decide(alive: Sequence[int]) -> Choice:
        at = len(trace)
        if at < len(prefix):
            choice = prefix[at]
        else:
            later.append((at, alive))
            choice = (trace[-1][0] if trace and trace[-1][0] in alive else alive[0]), Fate.DONE
        trace.append(choice)
        return choice

    story(decide)
    return later
