"""The place of a running rank, over a pipe: its supervisor ends a broken generation, and assigns a place in
the next one. Without such a pipe a rank keeps the place that its environment names.
"""

import json
import os
import select
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache

from trainer.distribution import rank_variables

_POLL_SECONDS = 0.05
_READ_BYTES = 1 << 16


class PlaceChannel:
    """The supervisor's end. The rank inherits `fd`."""

    def __init__(self) -> None:
        self.fd, self._end = os.pipe()
        os.set_blocking(self._end, False)

    def started(self) -> None:
        """Call it once the rank has been started: the pipe then ends with this process."""
        os.close(self.fd)
        self.fd = -1

    def break_up(self) -> None:
        """Tells the rank that its generation is broken."""
        self._send({})

    def assign(self, environment: Mapping[str, str]) -> None:
        """Gives the rank the place that `environment`, the whole one of a new process, names."""
        names = (*rank_variables.PLACE, *rank_variables.OF_GENERATION)
        self._send({name: environment[name] for name in names if name in environment})

    def close(self) -> None:
        for fd in (self.fd, self._end):
            if fd >= 0:
                os.close(fd)
        self.fd = self._end = -1

    def _send(self, place: Mapping[str, str]) -> None:
        # A rank that has ended, or does not read, is killed by its supervisor when its time is over.
        with suppress(BrokenPipeError, BlockingIOError):
            os.write(self._end, json.dumps(place).encode() + b"\n")


class Places:
    """The rank's end. `fd`: None for a rank that keeps its place."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        self._received = b""
        self._next: dict[str, str] | None = None
        self._broken = False

    @property
    def can_change(self) -> bool:
        """Whether this rank can be given another place."""
        return self._fd is not None

    def lost(self) -> bool:
        """Whether the generation that this rank is in has ended."""
        self._read()
        return self._broken or self._next is not None

    def take(self) -> bool:
        """Moves to the newest place, if one was assigned: sets the environment's variables."""
        self._read()
        if self._next is None:
            return False
        os.environ.update(self._next)
        self._next = None
        return True

    def wait(self, stopping: Callable[[], bool], after: float, then: Callable[[], None]) -> bool:
        """Waits for the next place, and moves there; False if `stopping` became true.

        `then` is called once after `after` seconds without a place.
        """
        began = time.monotonic()
        waited = False
        while self._fd is not None and not stopping():
            if self.take():
                return True
            if not waited and time.monotonic() - began > after:
                waited = True
                then()
            self._read(_POLL_SECONDS)
        return False

    def _read(self, timeout: float = 0.0) -> None:
        """Reads what has arrived, within `timeout` seconds."""
        if self._fd is None or not select.select([self._fd], [], [], timeout)[0]:
            return
        data = os.read(self._fd, _READ_BYTES)
        if not data:  # the supervisor has ended, and with it this rank
            self._fd = None
            return
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            place = json.loads(line)
            self._next, self._broken = place or self._next, not place


@cache
def places() -> Places:
    """The places of this process."""
    fd = os.environ.get(rank_variables.PLACE_FD)
    return Places(None if fd is None else int(fd))
