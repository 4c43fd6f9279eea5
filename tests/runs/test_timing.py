"""Where the time of epochs went, as a run's folder keeps it."""

import pytest

from trainer.runs.timing import EpochTiming, read_timing, write_timing

ROW = EpochTiming(3, 2, 4, 1000, 9.5, 1.0, 7.0, 1.25, 0.125)


def test_it_is_read_as_it_was_written() -> None:
    assert read_timing(write_timing([ROW, ROW])) == [ROW, ROW]
    assert read_timing(write_timing([])) == []
    assert ROW.images_per_second == 125


@pytest.mark.parametrize("data", [b"\xff", b"a,b\n1,2\n", b"epoch\nx\n", write_timing([ROW])[:-9]])
def test_what_is_damaged_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        read_timing(data)
