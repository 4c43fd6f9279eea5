"""Who trains in a folder: another release is refused while the holder lives; a next Job of its own waits."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.errors import RunError
from trainer.gang.leading.holder import (
    BEAT_SECONDS,
    LOST_SECONDS,
    Holder,
    remove_holder,
    wait_for_holder,
    write_holder,
)
from trainer.runs import layout
from trainer.runs.fence import Fence
from trainer.storage import Store, open_store

FIRST = Holder("job-a", "first", "team-a")
SECOND = Holder("job-b", "second", "team-b")
SUCCESSOR = Holder("job-b", "first", "team-a")


class Time:
    """A clock that only sleeping moves; `events` happen when their second has come."""

    def __init__(self, events: Callable[[float], None] = lambda now: None) -> None:
        self.now, self._events = 0.0, events

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._events(self.now)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A folder that FIRST has taken, and in which it lives."""
    store = open_store(str(tmp_path / "run"))
    Fence.take(store, {"gang": FIRST.gang})
    write_holder(store, FIRST)
    return store


def wait(store: Store, me: Holder, time: Time, *, patience: float = 95.0, take_over: bool = False) -> float:
    """How many seconds it waited."""
    wait_for_holder(store, me, patience=patience, take_over=take_over, clock=time, sleep=time.sleep)
    return time.now


def beating(store: Store, until: float = float("inf")) -> Callable[[float], None]:
    """FIRST goes on until then, and ends properly."""

    def event(now: float) -> None:
        if now >= until:
            remove_holder(store)
        elif now % BEAT_SECONDS == 0:
            write_holder(store, FIRST)

    return event


def test_another_release_is_refused_while_the_holder_lives(store: Store) -> None:
    time = Time(beating(store))
    with pytest.raises(RunError) as refusal:
        wait(store, SECOND, time)
    assert refusal.value.exit_code == 64
    assert time.now <= BEAT_SECONDS
    said = str(refusal.value)
    assert "run.url: release first in namespace team-a trains" in said
    assert "would be stopped permanently" in said
    assert "takeOver=true" in said


def test_a_process_outside_of_a_cluster_is_refused_too(store: Store) -> None:
    with pytest.raises(RunError, match="release first in namespace team-a trains"):
        wait(store, Holder("laptop"), Time(beating(store)))


def test_it_is_taken_over_at_once_where_that_is_wanted(store: Store) -> None:
    assert wait(store, SECOND, Time(beating(store)), take_over=True) == 0


@pytest.mark.parametrize("newcomer", [SECOND, SUCCESSOR])
def test_a_holder_that_was_lost_is_not_waited_for_for_ever(store: Store, newcomer: Holder) -> None:
    assert wait(store, newcomer, Time()) == LOST_SECONDS


def test_the_next_job_of_the_same_release_waits_until_the_old_one_has_saved(store: Store) -> None:
    assert wait(store, SUCCESSOR, Time(beating(store, until=44))) == 44


def test_an_old_job_that_does_not_end_is_taken_over(store: Store) -> None:
    assert wait(store, SUCCESSOR, Time(beating(store))) == 95


def test_a_folder_that_nobody_holds_is_free_at_once(store: Store, tmp_path: Path) -> None:
    assert wait(store, FIRST, Time()) == 0, "a pod of the gang itself"
    remove_holder(store)
    assert wait(store, SECOND, Time()) == 0
    assert wait(open_store(str(tmp_path / "new")), SECOND, Time()) == 0


@pytest.mark.parametrize("note", [b"", b"[]", b"{}", b'{"gang": "job-a"}'])
def test_a_note_that_makes_no_sense_holds_nobody_up(store: Store, note: bytes) -> None:
    store.put(layout.HOLDER, note)
    assert wait(store, SECOND, Time()) == 0


def test_a_note_of_a_gang_that_was_superseded_holds_nobody_up(store: Store) -> None:
    Fence.take(store, {"gang": "job-c"})
    assert wait(store, SECOND, Time(beating(store))) == 0
    assert json.loads(store.get(layout.HOLDER))["release"] == "first"
