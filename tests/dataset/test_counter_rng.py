"""Random numbers from integers: even, and another for every key."""

import numpy as np
import pytest

from trainer.dataset.counter_rng import hashed, permutation, uniform

pytestmark = pytest.mark.fast


def test_every_key_has_its_own() -> None:
    keys = [(0,), (0, 0), (0, 0, 0), (1,), (1, 0), (0, 1), (1, 1), (2, 0), (0, 2), (2**31 - 1,), (2**40, 1)]
    assert len({int(hashed(*key)) for key in keys}) == len(keys)
    many = hashed(3, np.arange(300)[:, None], np.arange(300))
    assert len(np.unique(many)) == 90_000


def test_arrays_have_what_single_keys_have() -> None:
    together = hashed(5, np.arange(4)[:, None], np.array([7, 9]))
    assert together.shape == (4, 2)
    assert together[2, 1] == hashed(5, 2, 9)


def test_numbers_are_even_and_do_not_hang_together() -> None:
    numbers = uniform(1, np.arange(1000)[:, None], np.arange(100))
    assert 0 <= numbers.min() < 1e-4
    assert 1 - 1e-4 < numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 0.005
    counts, _ = np.histogram(numbers, 64, (0, 1))
    expected = numbers.size / 64
    assert ((counts - expected) ** 2 / expected).sum() < 120  # chi-square of 63 degrees, p < 1e-5
    assert abs(np.corrcoef(numbers[:-1].ravel(), numbers[1:].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(numbers[:, :-1].ravel(), numbers[:, 1:].ravel())[0, 1]) < 0.02


def test_permutations_are_even() -> None:
    where = np.array([permutation(8, 4, seed) for seed in range(8000)])
    assert (np.sort(where, axis=1) == np.arange(8)).all()
    for place in range(8):
        counts = np.bincount(where[:, place], minlength=8)
        assert ((counts - 1000.0) ** 2 / 1000).sum() < 40  # 7 degrees
    assert permutation(0, 1).shape == (0,)
