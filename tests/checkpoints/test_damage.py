"""A checkpoint that was changed after its commit is never restored, and everyone is told."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.documents import assert_document
from trainer.checkpoints.commit import CheckpointObject, Commit, Damaged, survey
from trainer.checkpoints.restore import restore
from trainer.checkpoints.training_state import TrainingState
from trainer.checkpoints.verify import VerifiedCheckpoint, verify
from trainer.checkpoints.writer import CheckpointWriter
from trainer.errors import RunError
from trainer.runs import layout
from trainer.runs.fence import Fence
from trainer.runs.layout import Attempt
from trainer.storage import Store, open_store

NAMES = ["arrays-00000.bin", "arrays-00001.bin", "arrays-00002.bin", "state.json", "commit.json"]


def state(step: int) -> TrainingState:
    return TrainingState(step, {"w": np.full(300, step, np.float64)}, {"step": step, "text": "x" * 50})


def save(store: Store, *steps: int) -> None:
    with CheckpointWriter(store, Fence.take(store, {}), piece_bytes=1000) as checkpoints:
        for step in steps:
            checkpoints.save(state(step), wait=True)


def flip(store: Store, key: str, at: int = 11, bits: int = 1) -> None:
    data = bytearray(store.get(key))
    data[at] ^= bits
    store.put(key, bytes(data))


def truncate(store: Store, key: str) -> None:
    store.put(key, store.get(key)[:-1])


def lengthen(store: Store, key: str) -> None:
    store.put(key, store.get(key) + b"\n")


def empty(store: Store, key: str) -> None:
    store.put(key, b"")


def delete(store: Store, key: str) -> None:
    store.delete(key)


@pytest.mark.parametrize("harm", [flip, truncate, lengthen, empty, delete])
def test_restore_says_what_is_damaged_and_uses_the_one_before(
    store_url: str, harm: Callable[[Store, str], None], caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(store_url)
    save(store, 2, 3)
    newest = next(iter(survey(store)))
    for name in NAMES:
        whole = store.get(newest.key(name))
        harm(store, newest.key(name))
        caplog.clear()

        restored = restore(store)

        assert restored is not None
        assert restored.step == 2
        assert (restored.arrays["w"] == 2).all()
        (skipped,) = restored.skipped
        assert skipped.attempt == newest
        assert name in skipped.reason
        (warning,) = caplog.messages
        assert "step 3" in warning
        assert skipped.reason in warning
        if (name, harm) != ("commit.json", delete):
            problems = {found.step: found.problems for found in verify(store)}
            assert problems == {3: (skipped.reason,), 2: ()}

        store.put(newest.key(name), whole)
    assert [found.problems for found in verify(store)] == [(), ()]
    assert_document([found.values() for found in verify(store)], list[VerifiedCheckpoint])


def test_no_changed_bit_of_a_commit_goes_unseen() -> None:
    attempt = Attempt(7, 3, "uid")
    whole = Commit(
        attempt, "2026-11-20T12:00:00+00:00", (CheckpointObject("state.json", 12, "0af3" * 16),)
    ).dumps()
    assert Commit.loads(attempt, whole).dumps() == whole
    for at, bit in itertools.product(range(len(whole)), range(8)):
        changed = bytearray(whole)
        changed[at] ^= 1 << bit
        with pytest.raises(Damaged):
            Commit.loads(attempt, bytes(changed))


def test_a_commit_at_another_ones_place_is_no_commit() -> None:
    data = Commit(Attempt(7, 3, "uid"), "", ()).dumps()
    with pytest.raises(Damaged, match="for step 7, generation 3"):
        Commit.loads(Attempt(8, 3, "uid"), data)


def test_several_damaged_ones_are_skipped_one_by_one(tmp_path: Any) -> None:
    store = open_store(str(tmp_path))
    save(store, 1, 2, 3)
    third, second, _ = survey(store)
    flip(store, third.key("state.json"))
    delete(store, second.key("arrays-00001.bin"))
    restored = restore(store)
    assert restored is not None
    assert (restored.step, [s.attempt.step for s in restored.skipped]) == (1, [3, 2])


def test_commits_of_which_none_is_whole_are_an_error_and_no_fresh_start(tmp_path: Any) -> None:
    store = open_store(str(tmp_path))
    save(store, 1, 2)
    for attempt in survey(store):
        flip(store, attempt.key("arrays-00000.bin"))
    with pytest.raises(RunError, match=r"all 2 committed checkpoints are corrupt.*sha256") as failure:
        restore(store)
    assert failure.value.remedy


def test_an_unfinished_first_save_is_a_fresh_start(tmp_path: Any) -> None:
    store = open_store(str(tmp_path))
    save(store, 1)
    delete(store, next(iter(survey(store))).key("commit.json"))
    assert restore(store) is None


def test_a_newer_format_is_refused_by_both_versions(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(tmp_path))
    save(store, 1)
    monkeypatch.setattr("trainer.checkpoints.commit.FORMAT", 3)
    save(store, 2)
    with pytest.raises(RunError, match=r"format 3.*up to 1"):
        restore(store)
    assert "format 3" in verify(store)[0].problems[0]


class Failing:
    """A store of which one method fails."""

    def __init__(self, store: Store, method: str, error: Exception) -> None:
        self.store, self.method, self.error = store, method, error

    def __getattr__(self, name: str) -> Any:
        def fail(*args: Any, **options: Any) -> Any:
            raise self.error

        return fail if name == self.method else getattr(self.store, name)


@pytest.mark.parametrize("method", ["list", "get", "get_range"])
@pytest.mark.parametrize("error", [TimeoutError("no answer"), PermissionError("access denied")])
def test_a_store_that_does_not_answer_is_no_damage(tmp_path: Any, method: str, error: Exception) -> None:
    store = open_store(str(tmp_path))
    save(store, 1, 2)
    with pytest.raises(type(error)):
        restore(Failing(store, method, error))


def test_what_is_no_checkpoint_is_passed_over(store_url: str) -> None:
    store = open_store(store_url)
    save(store, 1, 2)
    save(store, 3)
    delete(store, next(iter(survey(store))).key(layout.COMMIT))
    store.put("checkpoints/notes.txt", b"of a person")
    assert [(a.step, a.generation) for a in survey(store)] == [(3, 2), (2, 1), (1, 1)]
    assert [(found.attempt.step, found.problems) for found in verify(store)] == [(2, ()), (1, ())]
    restored = restore(store)
    assert restored is not None
    assert restored.step == 2


def test_a_run_that_was_copied_elsewhere_is_whole(tmp_path: Any) -> None:
    save(open_store(str(tmp_path / "a")), 1)
    (tmp_path / "a").rename(tmp_path / "b")
    restored = restore(open_store(str(tmp_path / "b")))
    assert restored is not None
    assert json.dumps(restored.values)


def test_a_step_of_choice(tmp_path: Any) -> None:
    store = open_store(str(tmp_path))
    save(store, 1, 2, 3)
    restored = restore(store, step=2)
    assert restored is not None
    assert restored.step == 2
    with pytest.raises(RunError, match=r"no checkpoint of step 5. Steps with a checkpoint: 1, 2, 3"):
        restore(store, step=5)
    delete(store, restored.attempt.key("state.json"))
    with pytest.raises(RunError, match=r"state\.json is missing"):
        restore(store, step=2)
