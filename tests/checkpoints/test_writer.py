"""What is saved comes back to the bit, on every kind of store."""

import logging
import math
from typing import Any

import numpy as np
import pytest

from trainer.checkpoints.restore import restore
from trainer.checkpoints.training_state import TrainingState, pack, unpack
from trainer.checkpoints.writer import CheckpointWriter
from trainer.runs.fence import Fence
from trainer.storage import open_store

VALUES: dict[str, Any] = {
    "epoch": 3,
    "best": -math.inf,
    "worst": math.inf,
    "history": [{"loss": 0.1 + 0.2, "accuracy": math.nan}],
    "callbacks": {"EarlyStopping": {"wait": 2, "stopped": False, "none": None}},
    "text": "fünf \ud800",
    "big": 2**70,
}


def arrays() -> dict[str, np.ndarray[Any, Any]]:
    draw = np.random.default_rng(1)
    return {
        "kernel": draw.normal(size=(3, 3, 16, 32)).astype(np.float32),
        "scalar": np.array(7, np.int64),
        "flag": np.array(True),
        "empty": np.empty((0, 5), np.float16),
        "half": draw.normal(size=11).astype(np.float16),
        "bytes": np.arange(251, dtype=np.uint8),
        "big_endian": np.arange(5, dtype=">i4"),
        "complex": np.array([1 + 2j, math.nan]),
        "names": np.array(["a", "Škoda"]),
        "transposed": draw.normal(size=(40, 50)).T,
        "every_third": np.arange(1000, dtype=np.int32)[::3],
        "reversed": np.arange(10.0)[::-1],
        "model/größe/kernel:0": np.array([-0.0, math.inf]),
    }


def same(state: TrainingState | None, step: int, expected: dict[str, np.ndarray[Any, Any]]) -> None:
    assert state is not None
    assert state.step == step
    assert list(state.arrays) == list(expected)
    for name, array in expected.items():
        found = state.arrays[name]
        assert (found.dtype, found.shape) == (array.dtype, array.shape), name
        assert found.tobytes() == array.tobytes(), name
        assert found.flags.writeable


def test_a_state_comes_back_to_the_bit(store_url: str) -> None:
    store = open_store(store_url)
    with CheckpointWriter(store, Fence.take(store, {}), piece_bytes=1000) as checkpoints:
        checkpoints.save(TrainingState(5, arrays(), VALUES), wait=True)
        assert checkpoints.last_step == 5
    restored = restore(store)
    same(restored, 5, arrays())
    assert restored is not None
    assert repr(restored.values) == repr(VALUES)
    assert restored.skipped == []


def test_nothing_saved_is_none(store_url: str) -> None:
    assert restore(open_store(store_url)) is None


def test_a_state_without_arrays(store_url: str) -> None:
    store = open_store(store_url)
    with CheckpointWriter(store, Fence.take(store, {})) as checkpoints:
        checkpoints.save(TrainingState(0, {}, {}), wait=True)
    same(restore(store), 0, {})


def test_a_state_of_many_pieces(store_url: str) -> None:
    store = open_store(store_url)
    many = {f"w{i}": np.random.default_rng(i).normal(size=(700, 1000)) for i in range(5)}
    with CheckpointWriter(store, Fence.take(store, {})) as checkpoints:
        checkpoints.save(TrainingState(1, many, {}), wait=True)
    same(restore(store), 1, many)


def test_a_large_state_has_larger_pieces_and_not_more_of_them(tmp_path: Any) -> None:
    store = open_store(str(tmp_path))
    large = {"w": np.arange(100_001, dtype=np.float32)}
    with CheckpointWriter(store, Fence.take(store, {}), piece_bytes=10) as checkpoints:
        checkpoints.save(TrainingState(1, large, {}), wait=True)
    same(restore(store), 1, large)
    assert 250 < len(list(store.list("checkpoints/"))) <= 258


def test_bfloat16(tmp_path: Any) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    store = open_store(str(tmp_path))
    saved = {"b": np.arange(9).astype(ml_dtypes.bfloat16), "f8": np.ones((2, 2), ml_dtypes.float8_e4m3fn)}
    with CheckpointWriter(store, Fence.take(store, {})) as checkpoints:
        checkpoints.save(TrainingState(1, saved, {}), wait=True)
    same(restore(store), 1, saved)


def test_a_packed_state_comes_back_to_the_bit() -> None:
    state = unpack(pack(TrainingState(5, arrays(), VALUES)))
    same(state, 5, arrays())
    assert repr(state.values) == repr(VALUES)


def test_the_newest_save_of_a_step_is_restored(tmp_path: Any) -> None:
    store = open_store(str(tmp_path))
    with CheckpointWriter(store, Fence.take(store, {})) as checkpoints:
        for number in range(20):
            checkpoints.save(TrainingState(5, {}, {"number": number}), wait=True)
            restored = restore(store)
            assert restored is not None
            assert restored.values == {"number": number}


def test_what_the_caller_changes_after_save_is_not_saved(tmp_path: Any) -> None:
    store = open_store(str(tmp_path))
    array, values = np.zeros(1 << 20), {"list": [1]}
    with CheckpointWriter(store, Fence.take(store, {})) as checkpoints:
        checkpoints.save(TrainingState(1, {"a": array}, values))
        array[:] = 1
        values["list"].append(2)
        checkpoints.wait()
    restored = restore(store)
    assert restored is not None
    assert not restored.arrays["a"].any()
    assert restored.values == {"list": [1]}


@pytest.mark.parametrize(
    "values",
    [{"a": {1: 2}}, {"a": [object()]}, {"a": b"x"}, {"a": {"$float": "nan"}}, {"a": np.zeros(2)}],
    ids=["integer key", "object", "bytes", "reserved key", "array"],
)
def test_values_that_are_not_plain_are_refused_at_once(tmp_path: Any, values: dict[str, Any]) -> None:
    store = open_store(str(tmp_path))
    with (
        CheckpointWriter(store, Fence.take(store, {})) as checkpoints,
        pytest.raises(TypeError, match=r"values\.a"),
    ):
        checkpoints.save(TrainingState(1, {}, values))


@pytest.mark.parametrize("array", [np.array([None]), np.zeros(2, [("a", "f4")])], ids=["objects", "records"])
def test_arrays_that_are_not_of_numbers_are_refused_at_once(tmp_path: Any, array: Any) -> None:
    store = open_store(str(tmp_path))
    with (
        CheckpointWriter(store, Fence.take(store, {})) as checkpoints,
        pytest.raises(TypeError, match="layer/w"),
    ):
        checkpoints.save(TrainingState(1, {"layer/w": array}, {}))


def test_numpy_scalars_become_plain(tmp_path: Any) -> None:
    store = open_store(str(tmp_path))
    with CheckpointWriter(store, Fence.take(store, {})) as checkpoints:
        checkpoints.save(
            TrainingState(1, {}, {"best": np.float32(0.1), "n": np.int64(3), "t": (1, 2)}), wait=True
        )
    restored = restore(store)
    assert restored is not None
    assert restored.values == {"best": float(np.float32(0.1)), "n": 3, "t": [1, 2]}


def test_arrays_may_change_their_shapes_between_saves(tmp_path: Any, caplog: Any) -> None:
    caplog.set_level(logging.WARNING)
    store = open_store(str(tmp_path))
    with CheckpointWriter(store, Fence.take(store, {})) as checkpoints:
        for step, shape in enumerate([(3, 4), (4, 3), (50,), (1,), (1,)]):
            expected = {"a": np.full(shape, step, np.float32), "b": np.array(step)}
            checkpoints.save(TrainingState(step, expected, {}), wait=True)
            same(restore(store), step, expected)
    assert not caplog.records
