"""The rank processes of one pod and one generation: start, watch, stop."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from trainer.distribution.rank_status import Phase, RankStatus, StatusChannel
from trainer.distribution.rank_variables import STATE_FD, STATUS_FD
from trainer.gang.ranks.descendants import MARK, kill_marked, new_mark
from trainer.gang.ranks.stall import RankHistory, RankProgress
from trainer.machine.memory import CGROUP, available_memory, oom_kills
from trainer.machine.processes import is_frozen, leashed
from trainer.observability.stacks import STACKS
from trainer.output.units import plural, size

KEPT_OUTPUT_BYTES = 64 * 1024
_QUIET_SECONDS = 1.0
"""Seconds without a report after which the state of a process is read."""


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
    kept."""

    def __init__(self, number: int, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.number = number
        self.status = StatusChannel()
        self.history = RankHistory(self.status.read(), time.monotonic())
        self._output = bytearray()
        self._mark = new_mark()
        chief = number == 0
        inherited = [self.status.fd, *([int(environment[STATE_FD])] if STATE_FD in environment else [])]
        self._process = subprocess.Popen(
            leashed(command),
            env={**environment, STATUS_FD: str(self.status.fd), MARK: self._mark},
            pass_fds=inherited,
            stdin=subprocess.DEVNULL,
            stdout=None if chief else subprocess.PIPE,
            stderr=None if chief else subprocess.STDOUT,
            start_new_session=True,
        )
        self.pipe: IO[bytes] | None = self._process.stdout
        if self.pipe:
            os.set_blocking(self.pipe.fileno(), False)

    @property
    def pid(self) -> int:
        return self._process.pid

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
        if self.pipe:
            self.pipe.close()


class Ranks:
    """All ranks of one pod in one generation.

    Use it in a thread that lives as long as the supervisor: ranks die with the thread that started them.
    """

    def __init__(
        self,
        command: Sequence[str],
        environments: Mapping[int, Mapping[str, str]],
        cgroup: Path = CGROUP,
    ) -> None:
        """
        Args:
            command: what each rank runs.
            environments: rank -> its whole environment.
            cgroup: where the kernel counts the processes that it kills for want of memory.
        """
        self._cgroup = cgroup
        self._oom_kills = oom_kills(cgroup)
        self.exits: list[Exit] = []
        self._asked = False
        self._asked_at = 0.0
        self._frozen: set[int] = set()
        self._selector = selectors.DefaultSelector()
        self._all: dict[int, Rank] = {}
        self._alive: dict[int, Rank] = {}
        try:
            for number, environment in environments.items():
                rank = self._all[number] = self._alive[number] = Rank(number, command, environment)
                if rank.pipe:
                    self._selector.register(rank.pipe, selectors.EVENT_READ, rank)
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        return bool(self._alive)

    @property
    def pids(self) -> dict[int, int]:
        """Rank -> process id of the living ranks."""
        return {number: rank.pid for number, rank in self._alive.items()}

    @property
    def frozen(self) -> set[int]:
        """The ranks that a signal has stopped."""
        return {number for number, rank in self._alive.items() if is_frozen(rank.pid)}

    def statuses(self) -> dict[int, RankStatus]:
        return {number: rank.status.read() for number, rank in self._all.items()}

    def loading(self) -> str:
        """Why the ranks do not train yet: some still import TensorFlow or restore; "" when none does."""
        early = (Phase.STARTING, Phase.LOADING)
        numbers = [number for number, status in self.statuses().items() if status.phase in early]
        return f"{plural(len(numbers), 'rank')} still loading TensorFlow and the run" if numbers else ""

    def histories(self) -> dict[int, RankHistory]:
        """Rank -> history of the living ranks."""
        return {number: rank.history for number, rank in self._alive.items()}

    def progress(self) -> tuple[RankProgress, ...]:
        """The progress of the living ranks, as of the last `watch`."""
        now = time.monotonic()
        return tuple(
            RankProgress(
                number,
                history.status.step,
                history.status.phase,
                idle=now - max(history.since, self._asked_at),
                longest=history.longest.get(history.status.phase, 0.0),
                frozen=self._is_frozen(number, now),
                asked=self._asked,
                work=history.work.seconds,
                rows=history.status.rows,
            )
            for number, history in self.histories().items()
        )

    def _is_frozen(self, number: int, now: float) -> bool:
        rank = self._alive[number]
        return now - rank.history.since > _QUIET_SECONDS and is_frozen(rank.pid)

    def watch(self) -> None:
        """Reads the ranks' output and reports, and notes which of them have ended. Does not wait."""
        for key, _ in self._selector.select(0):
            if not key.data.read():
                self._selector.unregister(key.fileobj)
        for number, rank in list(self._alive.items()):
            rank.history = rank.history.after(rank.status.read())
            code = rank.poll()
            if code is not None:
                del self._alive[number]
                memory, frozen = self._out_of_memory(code), number in self._frozen
                self.exits.append(Exit(number, code, self._asked, memory, frozen))

    def _out_of_memory(self, code: int) -> bool:
        if code != -signal.SIGKILL or self._asked:
            return False
        before, self._oom_kills = self._oom_kills, oom_kills(self._cgroup)
        return self._oom_kills > before

    def terminate(self) -> None:
        """Sends SIGTERM, once: the ranks stop at a step that all agree on, save and exit."""
        if not self._asked_at:
            self._asked, self._asked_at = True, time.monotonic()
            for rank in self._alive.values():
                rank.signal(signal.SIGTERM)

    def print_stacks(self, numbers: Iterable[int]) -> bool:
        """Makes these ranks write their threads' stacks to stderr; False if none of them is in this pod."""
        here = [self._alive[number] for number in numbers if number in self._alive]
        for rank in here:
            rank.signal(STACKS)
        self._asked |= bool(here)
        return bool(here)

    def kill(self, numbers: Iterable[int]) -> None:
        """Kills these ranks. How they exit does not count as their own fault."""
        for number in numbers:
            self._asked = True
            if is_frozen(self._alive[number].pid):
                self._frozen.add(number)
            self._alive[number].kill()

    def tail(self, number: int, lines: int = 40) -> list[str]:
        """The end of a rank's output; empty for the chief, whose output is in the log already."""
        rank = self._all[number]
        if rank.pipe and not rank.pipe.closed:
            rank.read()
        return rank.tail(lines)

    def last_output(self, number: int) -> bytes | None:
        """The last output of a rank, b"" for the chief; None if the rank is not in this pod. From any
        thread."""
        rank = self._all.get(number)
        return rank.last_output() if rank else None

    def close(self) -> None:
        """Kills all ranks of this generation and the processes that they have started."""
        for rank in self._all.values():
            rank.close()
        self._selector.close()


def reap_orphans(known: set[int]) -> None:
    """Reaps ended processes that nobody waits for, except the `known`; a duty of process 1."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in known:
            return
        os.waitpid(ended.si_pid, 0)
