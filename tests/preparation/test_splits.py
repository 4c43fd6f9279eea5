"""Who validates: the same share of each class, by the seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.preparation.labels import LabelledImage, LabelledImages
from trainer.preparation.splits import default_fractions, divide, shuffled, spread, stratified
from trainer.storage import open_store

pytestmark = pytest.mark.fast


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.floats(0.01, 0.9), st.integers(0, 2**31 - 1))
def test_each_class_gives_its_share_and_keeps_one(counts: list[int], share: float, seed: int) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    chosen = stratified(labels, share, seed)
    taken = np.bincount(labels[chosen], minlength=len(counts))
    assert (taken < counts).all()
    assert (np.abs(taken - share * np.array(counts)) <= 1).all()
    room = sum(count - 1 for count in counts)
    assert taken.sum() <= round(share * len(labels))
    if min(counts) * (1 - share) >= 2:
        assert taken.sum() == round(share * len(labels)) <= room


def test_the_seed_decides() -> None:
    labels = np.repeat([0, 1], 50)
    first, again, other = stratified(labels, 0.3, 1), stratified(labels, 0.3, 1), stratified(labels, 0.3, 2)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert shuffled(list(range(50)), 1) == shuffled(list(range(50)), 1) != shuffled(list(range(50)), 2)
    assert sorted(shuffled(list(range(50)), 1)) == list(range(50))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(3, 30), min_size=2, max_size=6),
    st.integers(0, 2**31 - 1),
    st.sampled_from([None, 2, 5, 100]),
)
def test_no_image_is_in_two_splits_and_none_is_lost(counts: list[int], seed: int, most: int | None) -> None:
    items = tuple(LabelledImage(f"{c}/{n}", c) for c, count in enumerate(counts) for n in range(count))
    source = LabelledImages(
        open_store("/nowhere"), tuple(map(str, range(len(counts)))), {"train": items}, "folders"
    )
    splits = divide(source, 0.2, 0.1 if sum(min(c, most or c) for c in counts) > 9 else 0, seed, most)
    keys = [item.key for part in splits.values() for item in part]
    assert len(keys) == len(set(keys)) == sum(min(count, most or count) for count in counts)
    assert splits == divide(source, 0.2, 0.1 if "test" in splits else 0, seed, most)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(1, 100), st.integers(0, 2**31 - 1))
def test_the_first_images_are_of_all_classes(counts: list[int], count: int, seed: int) -> None:
    items = [LabelledImage(f"{c}/{n}", c) for c, most in enumerate(counts) for n in range(most)]
    taken = spread(items, count, seed)
    assert taken == [item for item in items if item in taken] == spread(items, count, seed)
    assert len(taken) == min(count, len(items))
    assert len({item.label for item in taken}) == min(len(counts), len(taken))


@pytest.mark.parametrize(
    ("splits", "validation", "test", "expected"),
    [
        (["train"], None, None, (0.15, 0.15)),
        (["train", "test"], None, None, (0.15, 0.0)),
        (["train", "validation"], None, None, (0.15, 0.0)),
        (["train"], 0.1, None, (0.1, 0.0)),
        (["train"], 0.0, None, (0.0, 0.0)),
        (["train"], None, 0.2, (0.15, 0.2)),
        (["train"], None, 0.9, (0.05, 0.9)),
        (["train"], None, 0.0, (0.15, 0.0)),
    ],
)
def test_what_nobody_names_has_a_default(
    splits: list[str], validation: float | None, test: float | None, expected: tuple[float, float]
) -> None:
    found = default_fractions(splits, validation, test)
    assert (found["validation"], found["test"]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("counts", "sizes"),
    [
        ([100, 60, 40], {"train": 140, "validation": 30, "test": 30}),
        ([3, 3], {"train": 4, "validation": 1, "test": 1}),
        ([2, 1], {"train": 2, "validation": 1}),
    ],
)
def test_by_default_there_is_a_test_split_too(counts: list[int], sizes: dict[str, int]) -> None:
    """As far as the images go; each class keeps one, and validation comes first."""
    items = tuple(LabelledImage(f"{c}/{n}", c) for c, count in enumerate(counts) for n in range(count))
    classes = tuple(map(str, range(len(counts))))
    source = LabelledImages(open_store("/nowhere"), classes, {"train": items}, "folders")
    splits = divide(source, None, None, 0)
    assert {name: len(part) for name, part in splits.items()} == sizes
