"""A world with a clock of its own: events in the order of their times, a store and a network with faults.

All that is random comes from one seed, so a schedule runs the same every time.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from tests.simulation.store import Code, Objects, Request, play

Event = Callable[[], None]
Done = Callable[[Any, Exception | None], None]


class Watch(Protocol):
    """Sees each request of a call twice: when it is issued, and when it is carried out."""

    def __call__(self, request: Request, call: int, *, issued: bool) -> None: ...


class Violation(AssertionError):
    """A promise does not hold."""


@dataclass(frozen=True)
class Faults:
    """How often things go wrong until `until`, and how long they take.

    Attributes:
        lost: the share of messages that are lost.
        repeated: the share of messages that arrive twice.
        store: the share of requests of the store without an answer; half of them are carried out, late.
        slow: the longest usual time of a message or request, in seconds.
        late: the longest time of a request whose caller has given up, in seconds.
    """

    until: float = 0.0
    lost: float = 0.0
    repeated: float = 0.0
    store: float = 0.0
    slow: float = 0.2
    late: float = 20.0


@dataclass
class World:
    seed: int
    faults: Faults
    now: float = 0.0
    objects: Objects = field(default_factory=Objects)
    watch: Watch = lambda request, call, *, issued: None

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self._events: list[tuple[float, int, Event]] = []
        self._count = 0
        self.log: list[tuple[float, str]] = []

    def at(self, time: float, event: Event) -> None:
        self._count += 1
        heapq.heappush(self._events, (time, self._count, event))

    def after(self, seconds: float, event: Event) -> None:
        self.at(self.now + seconds, event)

    def run(self, until: float, over: Callable[[], bool]) -> None:
        """Runs all events up to a time, or until `over`."""
        while self._events and not over():
            time, _, event = heapq.heappop(self._events)
            if time > until:
                return
            self.now = time
            event()

    def note(self, text: str) -> None:
        self.log.append((self.now, text))

    @property
    def troubled(self) -> bool:
        return self.now < self.faults.until

    def delay(self) -> float:
        draw = self.random.random()
        return self.faults.slow * draw * draw if self.troubled else 0.02 * draw

    def send(self, deliver: Event) -> None:
        """A message: it may be late, lost, repeated, and overtake others."""
        faults, troubled = self.faults, self.troubled
        if troubled and self.random.random() < faults.lost:
            return
        self.after(self.delay(), deliver)
        if troubled and self.random.random() < faults.repeated:
            self.after(self.delay() * 10, deliver)

    def call(self, code: Code, done: Done, alive: Callable[[], bool] = lambda: True) -> None:
        """Plays code that asks the store; `done` gets its result or error, unless its process has ended."""
        self._count += 1
        self._play(self._count, code, [], done, alive)

    def _play(self, call: int, code: Code, answers: list[Any], done: Done, alive: Callable[[], bool]) -> None:
        outcome = play(code, answers)
        if not isinstance(outcome, Request):
            done(*outcome)
            return
        request = outcome
        self.watch(request, call, issued=True)
        draw = self.random.random()
        lost = self.troubled and draw < self.faults.store
        carried_out = not lost or draw < self.faults.store / 2
        answer: list[Any] = []

        def carry_out() -> None:
            self.watch(request, call, issued=False)
            answer.append(self.objects.do(request, self.now))

        def arrive() -> None:
            if alive():
                answered = TimeoutError(request.key) if lost else answer[0]
                self._play(call, code, [*answers, answered], done, alive)

        if lost:
            if carried_out:
                self.after(self.random.random() * self.faults.late, carry_out)
            self.after(2.0, arrive)
        else:
            first = self.delay()
            self.after(first, carry_out)
            self.after(first + self.delay(), arrive)
