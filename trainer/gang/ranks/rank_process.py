"""One rank process: start, output, place, end."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from trainer.distribution.places import PlaceChannel
from trainer.distribution.rank_status import BEFORE_MEETING, Phase, StatusChannel
from trainer.distribution.rank_variables import LOCAL_RANK, PLACE_FD, STATE_FD, STATUS_FD
from trainer.gang.ranks.descendants import MARK, kill_marked, new_mark
from trainer.gang.ranks.stall import RankHistory
from trainer.machine.memory import available_memory
from trainer.machine.processes import leashed
from trainer.output.units import size

KEPT_OUTPUT_BYTES = 64 * 1024
STDERR = 2


@dataclass(frozen=True)
class Exit:
    """How a rank ended.

    Attributes:
        code: negative for a signal.
        asked: whether it had been asked to stop.
        out_of_memory: whether the kernel has counted another process that it killed for want of memory.
        frozen: whether a signal such as SIGSTOP had stopped it when it was killed.
    """

    rank: int
    code: int
    asked: bool
    out_of_memory: bool = False
    frozen: bool = False

    def __str__(self) -> str:
        if self.code >= 0:
            return f"rank {self.rank} exited with code {self.code}"
        if self.out_of_memory:
            limit = size(available_memory())
            return (
                f"rank {self.rank} was killed by the kernel: the container ran out of memory ({limit}); "
                "raise resources.limits.memory, or lower batch_size"
            )
        return f"rank {self.rank} was killed by {signal.Signals(-self.code).name}"


class Rank:
    """One process. The chief (rank 0) writes to our stdout and stderr; of the others the last output is
    kept.

    Args:
        state: the memory in which it keeps its state; None without one.
        in_place: whether it can move into the next generation.
        inherited: descriptors of this process that it keeps.
    """

    def __init__(
        self,
        number: int,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        state: int | None = None,
        in_place: bool = False,
        inherited: Collection[int] = (),
    ) -> None:
        self.number, self.state = number, state
        self.local = int(environment[LOCAL_RANK])
        self.status = StatusChannel()
        self._places = PlaceChannel() if in_place else None
        self._placed = 0.0
        self.history = RankHistory(self.status.read(), time.monotonic())
        self._output = bytearray()
        self._mark = new_mark()
        chief = number == 0
        own = {STATUS_FD: self.status.fd}
        if state is not None:
            own[STATE_FD] = state
        if self._places:
            own[PLACE_FD] = self._places.fd
        self._process = subprocess.Popen(
            leashed(command),
            env={**environment, **{name: str(fd) for name, fd in own.items()}, MARK: self._mark},
            pass_fds={*own.values(), *inherited},
            stdin=subprocess.DEVNULL,
            stdout=None if chief else subprocess.PIPE,
            stderr=None if chief else subprocess.STDOUT,
            start_new_session=True,
        )
        if self._places:
            self._places.started()
        self.pipe: IO[bytes] | None = self._process.stdout
        if self.pipe:
            os.set_blocking(self.pipe.fileno(), False)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_movable(self) -> bool:
        """Whether it can be given another place: it keeps its state, or has not met the other ranks yet."""
        return self._places is not None and (self.status.read().phase in BEFORE_MEETING or self.holds)

    @property
    def holds(self) -> bool:
        """Whether it has left its generation, and keeps its state."""
        status = self.status.read()
        return status.phase is Phase.HOLDING and status.time > self._placed

    def break_up(self) -> None:
        """Tells it that its generation is broken."""
        if self._places:
            self._places.break_up()

    def move(self, number: int, environment: Mapping[str, str], state: int | None) -> None:
        """Gives it another place, and memory for its state; what it wrote as another rank stays in its
        output."""
        assert self._places
        self.number, self.state = number, state
        self.local, self._placed = int(environment[LOCAL_RANK]), time.monotonic()
        self.history = RankHistory(self.status.read(), self._placed)
        self._places.break_up()
        self._places.assign({**environment, **({} if state is None else {STATE_FD: str(state)})})

    def poll(self) -> int | None:
        """Its exit code once it has ended; the processes that it started are then killed."""
        if self._process.returncode is None:
            if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return None
            # Until it is reaped, its number cannot be reused for another group.
            self._kill_group()
            kill_marked(self._mark)
        return self._process.poll()

    def read(self) -> bool:
        """Reads its new output; False at the end."""
        assert self.pipe
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.pipe.fileno(), KEPT_OUTPUT_BYTES):
                self._output += data
                if self.number == 0:  # it has become the chief
                    _print(data)
                del self._output[:-KEPT_OUTPUT_BYTES]
            return False
        return True

    def last_output(self) -> bytes:
        return bytes(self._output)

    def tail(self, lines: int) -> list[str]:
        return self._output.decode(errors="replace").splitlines()[-lines:]

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kills the rank and the processes that it has started."""
        if self._process.returncode is None:
            self._kill_group()
            kill_marked(self._mark)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        self._process.wait()
        self.status.close()
        if self._places:
            self._places.close()
        if self.pipe:
            self.pipe.close()


def _print(data: bytes) -> None:
    """Writes to where log lines go, if anybody still reads them."""
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(STDERR, data) :]


def assigned(
    environments: Mapping[int, Mapping[str, str]], survivors: Sequence[Rank]
) -> dict[int, Rank | None]:
    """Each rank's survivor: the one that had its number in the pod, else another; None for a new process."""
    by_local = {rank.local: rank for rank in survivors}
    ranks = {
        number: by_local.pop(int(environment[LOCAL_RANK]), None)
        for number, environment in environments.items()
    }
    others = list(by_local.values())
    return {number: rank or (others.pop(0) if others else None) for number, rank in ranks.items()}
