"""What stays and what goes, and that nothing goes too early or by the wrong hand."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.checkpoints.commit import list_attempts, new_uid, survey
from trainer.checkpoints.restore import restore
from trainer.checkpoints.retention import Retention, steps_to_remove
from trainer.checkpoints.training_state import TrainingState
from trainer.checkpoints.writer import CheckpointWriter
from trainer.runs import layout
from trainer.runs.fence import Fence, Superseded
from trainer.runs.findings import AuditFinding, add_finding
from trainer.runs.layout import Attempt
from trainer.storage import ObjectInfo, Store, open_store

steps_ = st.sets(st.integers(0, 300), max_size=40)
keep_last_ = st.integers(1, 5)
keep_every_ = st.none() | st.integers(1, 60)
best_ = st.none() | st.integers(0, 300)


@given(steps_, keep_last_, keep_every_, best_)
def test_the_last_ones_the_best_and_nothing_unknown(
    steps: set[int], keep_last: int, keep_every: int | None, best: int | None
) -> None:
    doomed = steps_to_remove(steps, keep_last, keep_every, best)
    assert doomed <= steps
    assert not doomed & set(sorted(steps)[-keep_last:])
    assert best not in doomed
    if keep_every is None:
        assert len(steps - doomed) <= keep_last + 1


@given(steps_, keep_last_, st.integers(1, 60))
def test_one_stays_for_every_stretch(steps: set[int], keep_last: int, keep_every: int) -> None:
    kept = steps - steps_to_remove(steps, keep_last, keep_every)
    for multiple in range(keep_every, 301, keep_every):
        assert (min((s for s in steps if s >= multiple), default=None) in {*kept, None}) or not any(
            multiple <= s < multiple + keep_every for s in steps
        )


@given(st.lists(st.integers(1, 20), max_size=40), keep_last_, keep_every_)
def test_applied_at_every_save_it_keeps_what_it_would_keep_of_all(
    gaps: list[int], keep_last: int, keep_every: int | None
) -> None:
    everything, kept, step = set(), set(), 0
    for gap in gaps:
        step += gap
        everything.add(step)
        kept.add(step)
        kept -= steps_to_remove(kept, keep_last, keep_every)
    assert kept == everything - steps_to_remove(everything, keep_last, keep_every)


@given(steps_, keep_last_, keep_every_, best_)
def test_a_second_time_nothing_more_goes(
    steps: set[int], keep_last: int, keep_every: int | None, best: int | None
) -> None:
    kept = steps - steps_to_remove(steps, keep_last, keep_every, best)
    assert steps_to_remove(kept, keep_last, keep_every, best) == set()


@pytest.mark.parametrize("wrong", [{"keep_last": 0}, {"keep_every": 0}])
def test_keeping_nothing_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=">= 1"):
        steps_to_remove({1}, **wrong)


class Clocked:
    """A store whose clock is set by hand."""

    def __init__(self, store: Store) -> None:
        self.store, self.url = store, store.url
        self.now = 0.0
        self.written: dict[str, float] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def put(self, key: str, data: Any, **options: Any) -> str:
        self.written[key] = self.now
        return self.store.put(key, data, **options)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for info in self.store.list(prefix):
            yield replace(info, modified=self.written[info.key])


class KeepingWriter(CheckpointWriter):
    """Removes nothing behind its saves: what goes is left to the test."""

    def _sweep(self, stop: Any, readers: bool = True) -> None:
        pass


class Folder:
    """A run's folder and its writer, who removes nothing unasked."""

    def __init__(self, path: Any, keep_last: int = 2) -> None:
        self.store: Any = Clocked(open_store(str(path)))
        self.take_over(keep_last)

    def take_over(self, keep_last: int = 2) -> None:
        self.fence = Fence.take(self.store, {})
        self.retention = Retention(self.fence, keep_last=keep_last, read_age=60, orphan_age=300)

    def save(self, *steps: int, at: float = 0.0) -> None:
        self.store.now = at
        with KeepingWriter(self.store, self.fence) as checkpoints:
            for step in steps:
                checkpoints.save(TrainingState(step, {"w": np.full(9, step)}, {}), wait=True)

    def steps(self) -> list[int]:
        return sorted(a.step for a, names in survey(self.store).items() if "commit.json" in names)

    def sweep(self, **options: Any) -> list[int]:
        return [attempt.step for attempt in self.retention.sweep(**options)]


def test_a_doomed_checkpoint_goes_after_a_time_for_its_readers(store_url: str) -> None:
    run = Folder(store_url)
    run.save(1, 2, 3, 4)
    assert run.sweep() == []
    run.save(5, at=59)
    assert run.sweep() == []
    run.save(6, at=60)
    assert run.sweep() == [1, 2]
    assert run.steps() == [3, 4, 5, 6]
    run.save(7, at=119)
    assert run.sweep() == [3]
    assert {a.step for a in survey(run.store)} == {4, 5, 6, 7}


def test_processes_that_are_killed_young_leave_no_more_than_one_that_lives(tmp_path: Any) -> None:
    run = Folder(tmp_path)
    for life in range(6):
        run.take_over()
        for save in range(8):
            run.save(8 * life + save, at=50 * life + 5 * save)
            run.sweep()
    assert len(run.steps()) == 2 + 60 // 5 - 2, "the last two, and those that were doomed in the last 60 s"


def test_a_checkpoint_that_was_the_best_goes_when_another_is(tmp_path: Any) -> None:
    run = Folder(tmp_path)
    run.save(1, 2, 3, 4)
    run.save(5, at=100)
    assert run.sweep(best=1) == [2]
    assert run.sweep(best=5) == [1]


def test_the_end_of_a_run_waits_for_no_reader(tmp_path: Any) -> None:
    store = open_store(str(tmp_path))
    with CheckpointWriter(store, Fence.take(store, {}), keep_last=2) as checkpoints:
        for step in range(1, 6):
            checkpoints.save(TrainingState(step, {}, {}), wait=True)
        assert len(survey(store)) == 5
        checkpoints.tidy()
    assert [a.step for a in survey(store)] == [5, 4]


def test_the_best_and_every_kth_stay(tmp_path: Any) -> None:
    store = open_store(str(tmp_path))
    with CheckpointWriter(store, Fence.take(store, {}), keep_last=1, keep_every=10) as checkpoints:
        checkpoints.best_step = 6
        for step in range(3, 40, 3):
            checkpoints.save(TrainingState(step, {}, {}), wait=True)
        checkpoints.tidy()
    assert [a.step for a in survey(store)] == [39, 30, 21, 12, 6]


def test_the_newest_that_an_audit_trusts_stays(tmp_path: Any) -> None:
    run = Folder(tmp_path)
    run.save(2, 5, 7)
    run.save(8, 9, at=100)
    run.save(10, at=200)
    assert run.sweep(audited=6) == [2, 7]
    run.save(11, at=300)
    assert run.sweep(audited=8) == [5]
    assert run.steps() == [8, 9, 10, 11], "9 may still be read"


def test_what_an_audit_doubts_is_not_restored_does_not_count_and_goes(tmp_path: Any) -> None:
    run = Folder(tmp_path)
    run.save(10, 20, 25, 30)
    run.store.put(Attempt(27, run.fence.number, new_uid()).key("arrays-00000.bin"), b"half")
    add_finding(run.fence, AuditFinding(30, 20, run.fence.number, ("rank 1",), True, ""))
    restored = restore(run.store)
    assert restored is not None
    assert restored.step == 20
    run.take_over()
    run.save(22, at=1)
    assert run.sweep() == [25, 27, 30]
    assert {attempt.step for attempt in list_attempts(run.store)} == {10, 20, 22}
    assert restore(run.store).step == 22  # type: ignore[union-attr]


def test_where_nothing_is_trusted_the_run_begins_again(tmp_path: Any) -> None:
    run = Folder(tmp_path)
    run.save(10)
    add_finding(run.fence, AuditFinding(10, 0, run.fence.number, ("rank 1",), True, ""))
    assert restore(run.store) is None


def test_what_a_crashed_save_left_goes_after_a_safe_age(tmp_path: Any) -> None:
    run = Folder(tmp_path)
    run.save(1)
    orphan = Attempt(2, run.fence.number, new_uid())
    run.store.put(orphan.key("arrays-00000.bin"), b"half")
    run.take_over()
    run.save(2, at=299)
    assert run.sweep() == []
    run.save(3, at=300)
    assert run.sweep() == [2]
    assert run.steps() == [1, 2, 3]
    assert not list(run.store.list(orphan.prefix))


def test_a_save_under_way_is_no_orphan_however_long_it_takes(tmp_path: Any) -> None:
    run = Folder(tmp_path)
    run.save(1)
    mine = next(iter(survey(run.store)))
    attempt = Attempt(2, run.fence.number, new_uid())
    run.store.put(attempt.key("arrays-00000.bin"), b"half")
    run.store.now = 5000
    run.store.put(attempt.key("arrays-00001.bin"), b"half")
    run.store.written[attempt.key("arrays-00001.bin")] = 0.0
    run.store.put(mine.key("arrays-00000.bin"), b"")
    assert run.sweep(mine=mine) == []
    assert run.sweep(mine=Attempt(2, run.fence.number, new_uid())) == [2]


def test_only_the_holder_of_the_newest_token_removes(tmp_path: Any) -> None:
    run = Folder(tmp_path)
    run.save(1, 2, 3, 4)
    Fence.take(run.store, {})
    with pytest.raises(Superseded):
        run.sweep(readers=False)
    assert run.steps() == [1, 2, 3, 4]


def test_a_broken_checkpoint_does_not_count_and_does_not_push_out_a_whole_one(tmp_path: Any) -> None:
    run = Folder(tmp_path, keep_last=1)
    run.save(1, 2, 3, 4)
    fourth, third, *_ = survey(run.store)
    run.store.delete(fourth.key("state.json"))
    run.store.put(third.key("arrays-00000.bin"), b"short")
    assert run.sweep(readers=False) == [1]
    restored = restore(run.store)
    assert restored is not None
    assert restored.step == 2
    run.save(5, 6)
    assert run.sweep(readers=False) == [2, 3, 4, 5]


def test_the_newest_stays_even_if_it_cannot_be_read_here(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Folder(tmp_path, keep_last=1)
    with monkeypatch.context() as patch:
        patch.setattr("trainer.checkpoints.commit.FORMAT", 2)
        run.save(4)
    run.save(1, 2)
    assert run.sweep(readers=False) == [1]
    assert run.steps() == [2, 4]


def test_of_two_attempts_at_a_step_the_newer_stays(tmp_path: Any) -> None:
    run = Folder(tmp_path, keep_last=2)
    run.save(1, 2)
    run.take_over()
    run.save(2, 2)
    newest = next(iter(survey(run.store)))
    assert run.sweep(readers=False) == [2, 2]
    assert run.steps() == [1, 2]
    assert newest in survey(run.store)


def test_a_writers_own_last_one_stays_below_a_late_commit_of_another(tmp_path: Any) -> None:
    run = Folder(tmp_path, keep_last=1)
    run.save(50, 100)
    run.take_over(keep_last=1)
    run.save(60)
    mine = next(a for a in survey(run.store) if a.step == 60)
    assert run.sweep(mine=mine, readers=False) == [50]
    assert run.steps() == [60, 100]


class Deletes:
    """A store that notes what is deleted, in order, and ends after the first."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.url = store.url

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def delete(self, key: str) -> None:
        self.store.delete(key)
        raise TimeoutError(key)


def test_only_the_commits_of_the_last_ones_are_read(tmp_path: Any) -> None:
    run = Folder(tmp_path, keep_last=2)
    run.save(1, 2, 3, 4, 5)
    read: list[str] = []

    class Reads(Deletes):
        def get(self, key: str) -> Any:
            read.append(key)
            return self.store.get(key)

        def delete(self, key: str) -> None:
            self.store.delete(key)

    run.retention.fence.store = Reads(run.store)
    assert run.sweep(readers=False) == [1, 2, 3]
    assert len([key for key in read if key.endswith(layout.COMMIT)]) == 2


def test_a_removal_that_breaks_off_leaves_nothing_that_looks_whole(tmp_path: Any) -> None:
    run = Folder(tmp_path)
    run.save(1, 2, 3)
    run.retention.fence.store = Deletes(run.store)
    with pytest.raises(TimeoutError, match=r"commit\.json"):
        run.sweep(readers=False)
    assert run.steps() == [2, 3]


def test_a_removal_ends_within_an_attempt_and_goes_on_later(tmp_path: Any) -> None:
    """A process that is to leave does not wait for the removal of a large checkpoint."""
    run = Folder(tmp_path, keep_last=1)
    large = {"w": np.zeros(100)}
    with CheckpointWriter(run.store, run.fence, keep_last=1000, orphan_age=1e9, piece_bytes=8) as checkpoints:
        for step in (1, 2):
            checkpoints.save(TrainingState(step, large, {}), wait=True)
    first, mine = sorted(survey(run.store))
    asked = iter([False] * 6)
    run.sweep(readers=False, mine=mine, stop=lambda: next(asked, True))
    left = survey(run.store)[first]
    assert len(left) > 90
    assert layout.COMMIT not in left
    run.save(3, at=300)
    assert run.sweep(mine=mine) == [1]
