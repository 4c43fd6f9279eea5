"""Three members, two tokens and one save, in every order of their requests up to a number of preemptions."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import pytest

from tests.checkpoints.interleaving import Decide, Fate, explore
from tests.simulation.schedules import simulated
from tests.simulation.store import Objects, Played, Request, play
from trainer.checkpoints import commit
from trainer.checkpoints.array_layout import ArrayLayout
from trainer.checkpoints.restore import restore
from trainer.checkpoints.training_state import TrainingState, describe
from trainer.gang.leading import tokens
from trainer.gang.leading.tokens import Deposed, Lead, Taken, take_token
from trainer.runs import layout
from trainer.runs.fence import Fence, Superseded
from trainer.runs.layout import Attempt

GANG = "job"
STEP = 5
FIRST = Lead(GANG, "uid-0", 0, "pod-0:1", {0: "pod-0:1", 1: "pod-1:1", 2: "pod-2:1"})
BUFFER = np.full(8, STEP, np.uint8)
STATE = TrainingState(STEP, {"w": BUFFER}, {})
DESCRIPTION = describe(STATE, ArrayLayout.of(STATE.arrays))


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    with simulated():
        yield


def save(etag: str) -> Callable[[Played], Any]:
    """The chief of the first generation saves."""

    def code(store: Played) -> Any:
        fence = Fence(store, 1, etag, GANG)
        return commit.write(fence, Attempt(STEP, 1, "a"), BUFFER.data, DESCRIPTION, piece_bytes=8, workers=1)

    return code


def lead(pod: int) -> Callable[[Played], Any]:
    """A pod that coordinates now: it takes a token, and its generation's chief restores."""

    def code(store: Played) -> Any:
        mine = Lead(GANG, f"uid-{pod}", pod, f"pod-{pod}:1", FIRST.pods)
        seen = Lead(GANG, FIRST.uid, 0, FIRST.address, FIRST.pods, number=1)
        taken = take_token(store, mine, seen, {})
        if not isinstance(taken, Taken):
            return taken
        Fence.hold(store, taken.number, GANG)
        return taken, restore(store, workers=1)

    return code


@dataclass
class Actor:
    code: Callable[[Played], Any]
    answers: list[Any] = field(default_factory=list)
    result: Any = None
    error: Exception | None = None
    over: bool = False
    next: Any = None

    def advance(self) -> None:
        outcome = play(self.code, self.answers)
        if isinstance(outcome, Request):
            self.next = outcome
        else:
            (self.result, self.error), self.over = outcome, True


def story(decide: Decide) -> None:
    objects = Objects()
    first = Actor(lambda store: take_token(store, FIRST, None, {}))
    run([first], objects, lambda alive: (alive[0], Fate.DONE))
    assert first.result == Taken(1)
    etag = objects.objects[layout.token(1)][1]
    writer, *leaders = actors = [Actor(save(etag)), Actor(lead(1)), Actor(lead(2))]
    run(actors, objects, decide)
    takers = [actor for actor in leaders if isinstance(actor.result, tuple)]
    assert len({actor.result[0].number for actor in takers}) == len(takers), "one token, one holder"
    for actor in leaders:
        if isinstance(actor.result, Deposed):
            assert actor.result.lead.pod in (1, 2)
        assert actor.error is None or isinstance(actor.error, Superseded | TimeoutError)
    for actor in takers:
        restored = actor.result[1]
        if writer.over and writer.error is None and writer.result:
            assert restored, "what was acknowledged is restored"
        if restored:
            assert (restored.step, restored.arrays["w"].tolist()) == (STEP, BUFFER.tolist())
    assert writer.error is None or isinstance(writer.error, Superseded | TimeoutError)


def run(actors: list[Actor], objects: Objects, decide: Decide) -> None:
    for actor in actors:
        actor.advance()
    while alive := [index for index, actor in enumerate(actors) if not actor.over]:
        index, fate = decide(alive)
        actor = actors[index]
        if fate is Fate.CRASH_BEFORE:
            actor.over = True
            continue
        answer = None if fate is Fate.FAIL_BEFORE else objects.do(actor.next, 0.0)
        if fate is Fate.CRASH_AFTER:
            actor.over = True
            continue
        actor.answers.append(answer if fate is Fate.DONE else TimeoutError(actor.next.key))
        actor.advance()


@pytest.mark.parametrize(("preemptions", "troubles"), [(2, 0), (0, 1)])
def test_every_schedule(preemptions: int, troubles: int) -> None:
    assert explore(story, preemptions, troubles) > 100


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("preemptions", "troubles"), [(4, 0), (2, 1), (1, 1), (0, 2)])
def test_every_longer_schedule(preemptions: int, troubles: int) -> None:
    assert explore(story, preemptions, troubles) > 1000


def test_a_save_that_does_not_look_at_the_tokens_is_found() -> None:
    with mock.patch.object(Fence, "check", return_value=None), pytest.raises(AssertionError):
        explore(story, 2, 0)


def test_a_token_without_the_condition_is_found() -> None:
    def overwrite(store: Any, number: int, mine: Lead, extra: Any) -> bool:
        fields = {"uid": mine.uid, "pod": mine.pod, "address": mine.address, "pods": {}}
        text = json.dumps({"gang": mine.gang, "coordinator": fields})
        store.put(layout.token(number), text.encode())
        return True

    with mock.patch.object(tokens, "_put", overwrite), pytest.raises(AssertionError):
        explore(story, 2, 0)
