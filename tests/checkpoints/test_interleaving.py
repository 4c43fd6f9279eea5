"""Two writers and a reader, in any order, ending anywhere: what `checkpoint` promises holds."""

import contextlib
import itertools
import logging
import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.checkpoints.interleaving import (
    TROUBLES,
    Actor,
    Choice,
    Decide,
    Fate,
    Request,
    World,
    explore,
    play,
)
from trainer.checkpoints.array_layout import ArrayLayout
from trainer.checkpoints.commit import new_uid, write
from trainer.checkpoints.restore import Restored, restore
from trainer.checkpoints.retention import Retention
from trainer.checkpoints.training_state import TrainingState, describe
from trainer.errors import RunError
from trainer.runs import layout
from trainer.runs.fence import Fence, Superseded, publish
from trainer.runs.layout import Attempt


def in_order(alive: Sequence[int]) -> Choice:
    return alive[0], Fate.DONE


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """What restore skips is not told thousands of times."""
    caplog.set_level(logging.ERROR, logger="trainer")


class Run:
    """One run's world, what was acknowledged in it, and the programs of those who work on it."""

    def __init__(self, conditional_writes: bool = True, keep_last: int = 1) -> None:
        self.world = World(conditional_writes=conditional_writes)
        self.keep_last = keep_last
        self.acknowledged: list[Attempt] = []
        self.tokens: dict[str, int] = {}
        self.restored: list[Attempt | None] = []

    def save(self, fence: Fence, step: int) -> None:
        attempt = Attempt(step, fence.number, new_uid())
        array = np.full(40, hash(attempt) % 251, np.uint8)
        state = TrainingState(step, {"w": array}, {"uid": attempt.uid})
        layout = ArrayLayout.of(state.arrays)
        write(fence, attempt, array.data, describe(state, layout), piece_bytes=20, workers=1)
        self.acknowledged.append(attempt)
        Retention(fence, keep_last=self.keep_last, read_age=0, orphan_age=0, workers=1).sweep(attempt)

    def restore(self, store: Actor) -> Restored | None:
        floor = max(self.acknowledged, default=None)
        try:
            restored = restore(store, workers=1)
        except RunError:
            assert floor is None, f"acknowledged {floor}, found nothing whole"
            return None
        found = restored.attempt if restored else None
        assert floor is None or (found is not None and found >= floor), f"acknowledged {floor}, found {found}"
        if restored:
            assert restored.values == {"uid": restored.attempt.uid}
            assert (restored.arrays["w"] == hash(restored.attempt) % 251).all()
            assert restored.step == restored.attempt.step
        self.restored.append(found)
        return restored

    def work(self, store: Actor, fence: Fence, step: int, saves: int) -> None:
        """As a run does: save, publish; a failed save is not the end, a newer token is."""
        for _ in range(saves):
            step += 1
            try:
                self.save(fence, step)
                publish(store, fence, "weights/last", f"{fence.number} {step}".encode())
            except TimeoutError:
                continue

    def writer(self, saves: int) -> Callable[[Actor], None]:
        def program(store: Actor) -> None:
            try:
                fence = Fence.take(store, {"who": store.name})
                self.tokens[store.name] = fence.number
                restored = self.restore(store)
                self.work(store, fence, restored.step if restored else 0, saves)
            except (Superseded, TimeoutError):
                pass

        return program

    def reader(self, rounds: int) -> Callable[[Actor], None]:
        def program(store: Actor) -> None:
            for _ in range(rounds):
                try:
                    self.restore(store)
                except TimeoutError:
                    continue

        return program

    @classmethod
    def begun(cls) -> "Run":
        """A run in which one writer has saved and published step 1."""
        run = cls()

        def program(store: Actor) -> None:
            run.work(store, Fence.take(store, {}), 0, 1)

        play([Actor("old", run.world, program)], in_order)
        run.tokens["old"] = 1
        return run

    def old_writer(self, store: Actor) -> None:
        """Goes on with that run; its next save is of step 3."""
        with contextlib.suppress(Superseded, TimeoutError):
            self.work(store, Fence(store, 1, store.stat(layout.token(1)).etag), 2, 1)

    def check_the_end(self) -> None:
        """A reader that comes when all are gone, and what each writer did after it was superseded."""
        play([Actor("last reader", self.world, self.reader(1))], in_order)
        if not self.world.conditional_writes:
            return
        for name, number in self.tokens.items():
            self._check_superseded(name, number)

    def _check_superseded(self, name: str, number: int) -> None:
        history = self.world.history
        taken = (
            i
            for i, r in enumerate(history)
            if r.method == "put" and r.key.startswith("generations/") and r.key > layout.token(number)
        )
        superseded = next(taken, len(history))
        looked = Request(name, "list", "generations/", answered=True)
        own = [(i, r) for i, r in enumerate(history) if r.actor == name]
        for (before, check), (at, change) in itertools.pairwise(own):
            if change.method == "put" and change.key.endswith(("weights/last", "commit.json")):
                assert check == looked, f"{change} without a look at the tokens right before"
                assert before < superseded, f"{change} although a newer token was seen"
            if change.method == "delete" and at > superseded:
                assert looked not in [r for i, r in own if superseded < i < at], f"{change} by a stale writer"


def takeover(decide: Decide) -> None:
    """An old writer goes on while a new one takes the run over and a reader looks."""
    run = Run.begun()
    actors = [
        Actor("old", run.world, run.old_writer),
        Actor("new", run.world, run.writer(1)),
        Actor("reader", run.world, run.reader(1)),
    ]
    play(actors, decide)
    run.check_the_end()


@pytest.mark.parametrize(("preemptions", "troubles"), [(1, 0), (0, 1)])
def test_every_takeover(preemptions: int, troubles: int) -> None:
    assert explore(takeover, preemptions, troubles) > 200


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("preemptions", "troubles"), [(2, 0), (1, 1), (0, 2)])
def test_every_longer_takeover(preemptions: int, troubles: int) -> None:
    assert explore(takeover, preemptions, troubles) > 200


def at_random(draw: random.Random, trouble: float) -> Decide:
    """Some requests of one actor, then of another; each request in trouble with that probability."""
    current: list[int] = []

    def decide(alive: Sequence[int]) -> Choice:
        if not current or current[0] not in alive or draw.random() < 0.3:
            current[:] = [draw.choice(alive)]
        return current[0], draw.choice(TROUBLES) if draw.random() < trouble else Fate.DONE

    return decide


def anything(seed: int, conditional_writes: bool) -> None:
    draw = random.Random(seed)
    run = Run(conditional_writes, keep_last=draw.choice([1, 1, 2]))
    actors = [Actor(name, run.world, run.writer(3)) for name in ("a", "b", "c", "d")]
    actors += [Actor(name, run.world, run.reader(4)) for name in ("r", "s")]
    play(actors, at_random(draw, trouble=draw.choice([0, 0.02, 0.1])))
    run.check_the_end()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), conditional_writes=st.booleans())
def test_any_order_and_any_end(seed: int, conditional_writes: bool) -> None:
    anything(seed, conditional_writes)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("conditional_writes", [True, False])
def test_very_many_orders_and_ends(conditional_writes: bool) -> None:
    for seed in range(20_000):
        anything(seed, conditional_writes)


@pytest.mark.parametrize("conditional_writes", [True, False])
def test_no_two_hold_the_newest_token(conditional_writes: bool) -> None:
    def race(decide: Decide) -> None:
        world, fences = World(conditional_writes=conditional_writes), []

        def take(store: Actor) -> None:
            fences.append(Fence.take(store, {"who": store.name}))

        def check(store: Actor) -> None:
            held = 0
            for fence in fences:
                with contextlib.suppress(Superseded):
                    Fence(store, fence.number, fence.etag).check()
                    held += 1
            assert held == 1

        play([Actor("a", world, take), Actor("b", world, take)], decide)
        play([Actor("judge", world, check)], in_order)
        assert not conditional_writes or {fence.number for fence in fences} == {1, 2}

    assert explore(race, preemptions=3, troubles=0) > 30
