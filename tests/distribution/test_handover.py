"""The memory in which a rank leaves its state to its next process."""

import errno
import os

import pytest

from trainer.distribution import handover
from trainer.distribution.handover import forget, hand_over, handed_over, new_memory
from trainer.distribution.rank_variables import STATE_FD

pytestmark = pytest.mark.fast


def test_a_state_is_whole_or_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "_PART_BYTES", 7)
    with new_memory() as fd:
        monkeypatch.setenv(STATE_FD, str(fd))
        assert handed_over() is None
        for state in (b"the first state", b"2nd"):
            assert hand_over(state)
            assert handed_over() == state
        kill_in_write(monkeypatch, b"the last state", after=2)
        assert handed_over() is None
        monkeypatch.undo()
        monkeypatch.setenv(STATE_FD, str(fd))
        hand_over(b"again")
        forget()
        assert handed_over() is None
        assert os.fstat(fd).st_size == 0


def test_without_a_supervisor_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STATE_FD, raising=False)
    assert not hand_over(b"state")
    assert handed_over() is None
    forget()


def test_a_state_for_which_there_is_no_memory_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with new_memory() as fd:
        monkeypatch.setenv(STATE_FD, str(fd))
        monkeypatch.setattr(os, "pwrite", full)
        assert not hand_over(b"state")
        assert handed_over() is None


def kill_in_write(monkeypatch: pytest.MonkeyPatch, state: bytes, after: int) -> None:
    """Ends `hand_over` in its third write, as a SIGKILL would."""
    writes, write = iter(range(after)), os.pwrite

    def count(fd: int, data: bytes, at: int) -> int:
        if next(writes, None) is None:
            raise KeyboardInterrupt
        return write(fd, data, at)

    monkeypatch.setattr(os, "pwrite", count)
    with pytest.raises(KeyboardInterrupt):
        hand_over(state)
    monkeypatch.setattr(os, "pwrite", write)
