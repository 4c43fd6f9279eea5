"""Sums of whole numbers: the same in every order, and what does not fit is found."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trainer.training.step.fixed_point import (
    FINEST,
    SUM_BITS,
    bits_of,
    first_exponents,
    following,
    limit,
    quantised,
    turned_back,
    widened,
)
from trainer.training.step.sums import Sums
from trainer.training.step.whole_numbers import quantised as quantised_by_tensorflow
from trainer.training.step.whole_numbers import turned_back as turned_back_by_tensorflow
from trainer.training.step.whole_sums import WholeSums

ORDINARY, LONG = 300, 10_000
SPECIAL = (0.0, -0.0, 1e-45, -1e-40, 1.1754944e-38, float("inf"), float("-inf"), float("nan"), 3.4028235e38)
NUMBERS = st.one_of(
    st.floats(width=32),
    st.sampled_from(SPECIAL).map(lambda value: float(np.float32(value))),
    st.builds(
        lambda exponent, factor: float(np.float32(factor * 10.0**exponent)),
        st.integers(-30, 30),
        st.floats(-10, 10),
    ),
)
FINITE = NUMBERS.filter(np.isfinite)


def cases(check: Any) -> Any:
    """As two tests: a few hundred cases, and ten thousand where these are asked for."""
    return pytest.mark.parametrize(
        "examples",
        [ORDINARY, pytest.param(LONG, marks=[pytest.mark.long, pytest.mark.timeout(3600)])],
    )(check)


def run(examples: int, check: Any, **strategies: Any) -> None:
    settings(max_examples=examples, deadline=None)(given(**strategies)(check))()


@st.composite
def vectors(draw: Any, numbers: Any = NUMBERS) -> np.ndarray:
    """float32 (groups, numbers of a variable)."""
    groups, width = draw(st.integers(1, 12)), draw(st.integers(1, 5))
    flat = draw(st.lists(numbers, min_size=groups * width, max_size=groups * width))
    return np.array(flat, np.float32).reshape(groups, width)


def summed(vectors: np.ndarray, exponent: int, groups: int) -> tuple[np.ndarray, bool]:
    """(n,) int64 and whether everything fits."""
    parts = [quantised(one, exponent, groups) for one in vectors]
    total = np.zeros(vectors.shape[1], np.int64)
    for whole, _, _ in parts:
        total = total + whole
    return total, all(fits for _, _, fits in parts)


@cases
def test_every_order_and_every_cut_gives_the_same_integers(examples: int) -> None:
    def check(groups: np.ndarray, exponent: int, order: Any, cut: Any) -> None:
        count = len(groups)
        whole, fits = summed(groups, exponent, count)
        permuted = groups[order.draw(st.permutations(range(count)))]
        ends = sorted(cut.draw(st.lists(st.integers(0, count), max_size=4)))
        ranks = [summed(one, exponent, count) for one in np.split(permuted, ends)]
        tree = sum((total for total, _ in ranks[::2]), np.zeros_like(whole))
        tree = tree + sum((total for total, _ in ranks[1::2]), np.zeros_like(whole))
        assert (tree == whole).all()
        assert all(fit for _, fit in ranks) == fits

    run(
        examples,
        check,
        groups=vectors(),
        exponent=st.integers(-80, FINEST),
        order=st.data(),
        cut=st.data(),
    )


@cases
def test_what_does_not_fit_is_found_and_no_sum_wraps(examples: int) -> None:
    """In whole numbers of any length, as Python has them."""

    def check(groups: np.ndarray, exponent: int) -> None:
        count = len(groups)
        total, fits = summed(groups, exponent, count)
        normal = np.where(np.abs(groups) < np.finfo(np.float32).tiny, 0, groups).astype(np.float64)
        exact = normal * 2.0**exponent
        assert fits == bool((np.abs(np.rint(exact)) < limit(count)).all())
        if fits:
            expected = [sum(int(value) for value in column) for column in np.rint(exact).T]
            assert total.tolist() == expected
            assert max(map(abs, expected)) < 2**SUM_BITS

    run(examples, check, groups=vectors(), exponent=st.integers(-100, FINEST))


@cases
def test_the_second_try_fits_and_the_next_step_has_headroom(examples: int) -> None:
    def check(groups: np.ndarray) -> None:
        count = len(groups)
        tried = [quantised(one, FINEST, count) for one in groups]
        largest = np.array([max(top for _, top, _ in tried)])
        [exponent] = widened(first_exponents(1), largest, count)
        total, fits = summed(groups, int(exponent), count)
        assert fits
        assert [exponent] == widened(np.array([exponent], np.int32), np.zeros(1), count)
        sums = np.array([sum(int(quantised(one, int(exponent), count)[1]) for one in groups)])
        [following_one] = following(np.array([exponent], np.int32), sums, count)
        if sums[0]:
            grown = (groups.astype(np.float64) * 100).clip(-3e38, 3e38).astype(np.float32)
            assert summed(grown, int(following_one), count)[1]
            # A number's rounding is half a quantum at most.
            exact = groups.astype(np.float64).sum(0)
            cut = np.abs(total * np.ldexp(1.0, -int(exponent)) - exact).max()
            assert cut <= count * np.ldexp(1.0, -int(exponent)) / 2 + np.abs(exact).max() * 1e-13
            most = float(np.abs(groups).max())
            assert exponent == FINEST or np.ldexp(1.0, -int(exponent)) <= 2.0 ** (bits_of(count) - 61) * most

    run(examples, check, groups=vectors(FINITE))


@pytest.fixture(scope="module")
def by_tensorflow():
    def both(values: tf.Tensor, scale: tf.Tensor, most: tf.Tensor) -> Any:
        whole, largest = quantised_by_tensorflow([values], scale, most)
        return whole, largest, turned_back_by_tensorflow(whole, [5], scale)

    signature = [tf.TensorSpec([5]), tf.TensorSpec([1], tf.float64), tf.TensorSpec([], tf.float64)]
    return {xla: tf.function(both, input_signature=signature, jit_compile=xla) for xla in (False, True)}


@pytest.mark.parametrize("xla", [False, True], ids=["tensorflow", "xla"])
@cases
def test_tensorflow_computes_the_same_bits(by_tensorflow, examples: int, xla: bool) -> None:
    def check(values: list[float], exponent: int, groups: int) -> None:
        own = np.array(values, np.float32)
        whole, largest, fits = quantised(own, exponent, groups)
        scale = tf.constant([np.ldexp(1.0, exponent)], tf.float64)
        found, top, back = (one.numpy() for one in by_tensorflow[xla](own, scale, limit(groups)))
        assert (found == whole).all()
        assert np.isfinite(top[0]) == np.isfinite(own).all()
        assert (top[0] < limit(groups)) == fits
        if np.isfinite(own).all():
            assert top[0] == largest
        assert back.tobytes() == turned_back(whole, exponent).tobytes()

    run(
        examples,
        example(values=[1.0, -1.0, 1e-45, float("nan"), 0.0], exponent=24, groups=3)(check),
        values=st.lists(NUMBERS, min_size=5, max_size=5),
        exponent=st.integers(-100, FINEST),
        groups=st.integers(1, 4096),
    )


def test_the_exponents_follow_the_largest_value() -> None:
    groups = 64
    exponents = np.array([10, 10, 10], np.int32)
    found = following(exponents, np.array([0, 1 << 20, 1 << 47]), groups)
    assert found.tolist() == [10, 10 + 27, 10]
    assert bits_of(groups) == 6
    assert bits_of(1) == 0
    assert bits_of(65) == 7


@cases
def test_sums_of_an_evaluation_are_exact_in_every_order(examples: int) -> None:
    def check(losses: list[float], order: Any, ranks: int) -> None:
        groups = [Sums(loss, 3.0, 5.0, 7.0) for loss in losses]
        permuted = order.draw(st.permutations(groups))

        def over(parts: list[Sums], size: int) -> Sums:
            """As `size` ranks add up their own, by float64 sums."""
            arrays: list[np.ndarray] = []
            for rank in range(size):
                own = sum((WholeSums.of(one) for one in parts[rank::size]), WholeSums())
                own.over_ranks(lambda array: arrays.append(array) or array)  # type: ignore[func-returns-value]
            return WholeSums().over_ranks(lambda _: np.sum(arrays, 0))

        one, many = over(groups, 1), over(permuted, ranks)
        assert repr(one) == repr(many)
        if np.isfinite(losses).all():
            import math

            assert one.loss == math.fsum(losses)
        else:
            assert np.isnan(one.loss)
        assert one.rows == 7 * len(losses)

    run(
        examples,
        check,
        losses=st.lists(NUMBERS, min_size=1, max_size=9),
        order=st.data(),
        ranks=st.integers(1, 8),
    )
