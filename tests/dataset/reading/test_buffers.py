"""Memory is used again once nobody holds it, and never before."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.dataset.reading.buffers import Buffers, copy_rows

SHAPE = (64, 64, 3)


def place(array: np.ndarray) -> int:
    return int(array.ctypes.data)


def test_what_is_held_is_not_given_out_again() -> None:
    buffers = Buffers(SHAPE)
    held = [buffers.take(200) for _ in range(5)]
    assert len({place(array) for array in held}) == 5
    for number, array in enumerate(held):
        array[:] = number
    view = held[2][10:20]
    places = [place(array) for array in held]
    del held, array
    taken = [buffers.take(200) for _ in range(4)]
    assert {place(array) for array in taken} == set(places) - {places[2]}
    assert (view == 2).all()


def test_smaller_arrays_use_it_too_and_others_give_it_back() -> None:
    buffers = Buffers(SHAPE)
    first = place(buffers.take(300))
    assert place(buffers.take(200)) == first
    buffers.take(5000)
    assert len(buffers._blocks) == 1, "what is too small is let go"


def test_tensorflow_takes_it_over_without_a_copy_and_holds_it() -> None:
    buffers = Buffers(SHAPE)

    def batches():
        for number in range(20):
            batch = buffers.take(300)
            batch[:] = number
            yield batch

    spec = tf.TensorSpec((300, *SHAPE), tf.uint8)
    kept = list(tf.data.Dataset.from_generator(batches, output_signature=spec).prefetch(2).take(6))
    assert len(buffers._blocks) >= len(kept), "each is held by its tensor"
    for number, tensor in enumerate(kept):
        assert (tensor.numpy() == number).all()


@pytest.mark.parametrize("side", [4, 64])
def test_rows_are_copied_to_their_places(side: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, side, side, 3), np.uint8)
    places = np.array([19, 0, 7, 7])
    into = np.zeros((4, side, side, 3), np.uint8)
    copy_rows(images, places, into)
    np.testing.assert_array_equal(into, images[places])
