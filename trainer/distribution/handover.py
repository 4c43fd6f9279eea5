"""A rank's state between two generations: in memory that the supervisor keeps, for this process or for the
one that replaces it.

A rank whose exchange broke leaves the state of its last finished step there. So no finished step is lost
while one rank lives, whichever of them died.
"""

import logging
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

from trainer.distribution.rank_variables import STATE_FD

log = logging.getLogger(__name__)

_HEADER = 16
_MAGIC = b"trainer1"
_PART_BYTES = 1 << 30
"""Bytes of one write; Linux writes at most 2 GiB at once."""


@contextmanager
def new_memory() -> Iterator[int]:
    """The file descriptor of such memory, for the supervisor: a rank inherits it as STATE_FD."""
    fd = os.memfd_create("rank-state")
    try:
        yield fd
    finally:
        os.close(fd)


def hand_over(state: bytes) -> bool:
    """Leaves a state to the next process of this rank, or to this one in its next generation -> whether it is
    there. Does nothing without a supervisor.

    It is complete or not there, whenever this process is killed. Logs a want of memory.
    """
    fd = _memory()
    if fd is None:
        return False
    os.ftruncate(fd, 0)
    try:
        _write(fd, memoryview(state))
    except OSError as error:
        os.ftruncate(fd, 0)
        log.warning("the state could not be handed over to the next process: %s", error.strerror)
        return False
    return True


def _write(fd: int, state: memoryview) -> None:
    at = 0
    while at < len(state):
        at += os.pwrite(fd, state[at : at + _PART_BYTES], _HEADER + at)
    os.pwrite(fd, _MAGIC + len(state).to_bytes(8, "little"), 0)


def handed_over() -> bytes | None:
    """The state that this rank left in its last generation; None without one."""
    fd = _memory()
    header = b"" if fd is None else os.pread(fd, _HEADER, 0)
    if fd is None or not header.startswith(_MAGIC):
        return None
    length = int.from_bytes(header[len(_MAGIC) :], "little")
    with mmap.mmap(fd, _HEADER + length, prot=mmap.PROT_READ) as memory:
        return memory[_HEADER:]


def forget() -> None:
    """Frees the memory, once the state is this process's own."""
    fd = _memory()
    if fd is not None:
        os.ftruncate(fd, 0)


def _memory() -> int | None:
    fd = os.environ.get(STATE_FD)
    return None if fd is None else int(fd)
