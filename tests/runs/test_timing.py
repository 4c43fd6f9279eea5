"""Where the time of epochs went, as a run's folder keeps it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from trainer.runs import layout
from trainer.runs.timing import EpochTiming, read_timing, write_timing
from trainer.storage import open_store
from trainer.training.results.timer import Timer, read_previous_epochs

ROW = EpochTiming(3, 2, 4, 1000, 9.5, 1.0, 7.0, 1.25, 0.125)
ON_GPUS = replace(ROW, gpus=4, cores=32.0)


def test_it_is_read_as_it_was_written() -> None:
    assert read_timing(write_timing([ROW, ON_GPUS])) == [ROW, ON_GPUS]
    assert read_timing(write_timing([])) == []
    assert ROW.images_per_second == 125
    header = b"epoch,generation,ranks,images,seconds,waiting,training,validation,saving\n"
    old = header + b"3,2,4,1000,9.5,1,7,1.25,0.125\n"
    assert read_timing(old) == [ROW], "of a version before gpus and cores"
    newer = write_timing([ON_GPUS]).replace(b"cores", b"cores,more").replace(b"32.000", b"32.000,1")
    assert read_timing(newer) == [ON_GPUS]


def test_a_run_that_is_started_again_keeps_the_epochs_before(store_url: str) -> None:
    store = open_store(store_url)
    assert read_previous_epochs(store, 1) == []

    def publish(rows: Sequence[EpochTiming]) -> None:
        store.put(layout.TIMING, write_timing(rows))

    def timer(generation: int, epochs: int) -> Timer:
        return Timer(generation, 2, read_previous_epochs(store, epochs), publish)

    first = timer(1, 0)
    for epoch in range(3):
        first.step(100, waited=1.0, worked=3.0)
        first.end_epoch(epoch)
    again = timer(2, 2)  # the checkpoint was of before the third epoch's end
    again.step(50, waited=0.5, worked=0.5)
    again.end_epoch(2)
    found = read_previous_epochs(store, 3)
    assert [(row.epoch, row.generation, row.images) for row in found] == [
        (0, 1, 100),
        (1, 1, 100),
        (2, 2, 50),
    ]
    assert (found[0].waiting, found[0].training, found[2].waiting) == (1.0, 3.0, 0.5)
    store.put(layout.TIMING, b"\xff")
    assert read_previous_epochs(store, 3) == []


@pytest.mark.parametrize("data", [b"\xff", b"a,b\n1,2\n", b"epoch\nx\n", write_timing([ROW])[:-9]])
def test_what_is_damaged_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        read_timing(data)
