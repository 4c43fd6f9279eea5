"""The rank processes of one pod: start, watch, stop, and survivors into the next generation."""

import logging
import selectors
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from trainer.distribution.rank_status import Phase, RankStatus
from trainer.gang.ranks.rank_process import Exit, Rank, assigned
from trainer.gang.ranks.spares import Spares
from trainer.gang.ranks.stall import RankHistory, RankProgress
from trainer.machine.memory import CGROUP, oom_kills
from trainer.machine.processes import is_frozen
from trainer.observability.stacks import STACKS
from trainer.output.units import plural

log = logging.getLogger("trainer.supervisor")

PARKED_NUMBER = -1
"""The number of a process that waits to replace a rank."""
_QUIET_SECONDS = 1.0
"""Seconds without a report after which the state of a process is read."""


class Ranks:
    """All ranks of one pod.

    Attributes:
        exits: how ranks of this generation have ended; `judged`: of how many the generation's end tells.

    Use it in a thread that lives as long as the supervisor: ranks die with the thread that started them.
    """

    def __init__(
        self,
        command: Sequence[str],
        environments: Mapping[int, Mapping[str, str]],
        cgroup: Path = CGROUP,
        *,
        states: Sequence[int] = (),
        in_place: bool = False,
    ) -> None:
        """
        Args:
            command: what each rank runs.
            environments: rank -> its whole environment.
            cgroup: where the kernel counts the processes that it kills for want of memory.
            states: the memory in which ranks keep their states, one for each; see `handover`.
            in_place: whether ranks can move into the next generation.
        """
        self._cgroup = cgroup
        self._oom_kills = oom_kills(cgroup)
        self.exits: list[Exit] = []
        self.judged = 0
        self._command, self._states, self._in_place = command, states, in_place
        self._asked = self._broken = self._terminated = False
        self._asked_at = 0.0
        self._frozen: set[int] = set()
        self._selector = selectors.DefaultSelector()
        self._all: dict[int, Rank] = {}
        self._alive: dict[int, Rank] = {}
        self._spares = Spares(self._start_spare, self._forget)
        self._run(environments, [])

    def regroup(self, environments: Mapping[int, Mapping[str, str]]) -> None:
        """Moves the living ranks into the next generation, and starts those that it lacks."""
        for ended in self.exits[self.judged :]:
            log.warning("%s while it waited for the next generation", ended)
        survivors = list(self._alive.values())
        for rank in self._all.values():
            if rank not in survivors:
                self._forget(rank)
        self.exits, self.judged = [], 0
        self._asked = self._broken = self._terminated = False
        self._asked_at = 0.0
        self._run(environments, survivors)

    def _run(self, environments: Mapping[int, Mapping[str, str]], survivors: Sequence[Rank]) -> None:
        self._all, self._alive = {}, {}
        left = list(survivors)
        free = [fd for fd in self._states if fd not in {rank.state for rank in survivors}]
        try:
            for number, survivor in assigned(environments, survivors).items():
                rank, environment = survivor, environments[number]
                state = rank.state if rank else (free.pop(0) if free else None)
                if rank is None and (rank := self._spares.take()):
                    log.info("a parked process replaces rank %d", number)
                if rank is None:
                    rank = self._start(number, environment, state)
                else:
                    rank.move(number, environment, state)
                    left = [other for other in left if other is not rank]
                self._all[number] = self._alive[number] = rank
        except BaseException:
            for rank in left:
                rank.close()
            self.close()
            raise
        for rank in left:
            self._forget(rank)

    def park(self, spares: int, environment: Mapping[str, str]) -> None:
        """Starts processes, up to `spares`, that replace lost ranks."""
        if self._in_place:
            self._spares.park(spares, environment)

    @property
    def parked(self) -> int:
        """How many processes are ready to replace a rank."""
        return self._spares.parked

    def _start_spare(self, environment: Mapping[str, str]) -> Rank:
        return self._start(PARKED_NUMBER, environment, None)

    def _start(self, number: int, environment: Mapping[str, str], state: int | None) -> Rank:
        inherited = self._states if self._in_place else ()
        rank = Rank(
            number, self._command, environment, state=state, in_place=self._in_place, inherited=inherited
        )
        if rank.pipe:
            self._selector.register(rank.pipe, selectors.EVENT_READ, rank)
        return rank

    def _forget(self, rank: Rank) -> None:
        if rank.pipe and rank.pipe.fileno() in self._selector.get_map():
            self._selector.unregister(rank.pipe)
        rank.close()

    @property
    def alive(self) -> bool:
        return bool(self._alive)

    @property
    def pids(self) -> dict[int, int]:
        """Rank -> process id of the living ranks."""
        return {number: rank.pid for number, rank in self._alive.items()}

    @property
    def processes(self) -> set[int]:
        """The ids of the living ranks, and of the processes that wait to replace one."""
        return {rank.pid for rank in (*self._alive.values(), *self._spares)}

    @property
    def hold(self) -> bool:
        """Whether a rank has left the generation, and keeps its state."""
        return any(rank.holds for rank in self._alive.values())

    @property
    def frozen(self) -> set[int]:
        """The ranks that a signal has stopped."""
        return {number for number, rank in self._alive.items() if is_frozen(rank.pid)}

    @property
    def are_movable(self) -> bool:
        """Whether every living rank can be given another place."""
        return all(rank.is_movable for rank in self._alive.values())

    @property
    def ready(self) -> int:
        """How many ranks of the next generation need no new process; 0 if none has survived."""
        return len(self._alive) + self.parked if self._alive else 0

    def held(self) -> list[int]:
        """The last finished step of each living rank that has finished one."""
        steps = [rank.status.read().step for rank in self._alive.values()]
        return [step for step in steps if step >= 0]

    def statuses(self) -> dict[int, RankStatus]:
        return {number: rank.status.read() for number, rank in self._all.items()}

    def loading(self) -> str:
        """Why the ranks do not train yet: some still import TensorFlow or restore; "" when none does."""
        early = (Phase.STARTING, Phase.LOADING, Phase.JOINING, Phase.PREPARING)
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
        self._spares.watch()
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

    def break_up(self, *, asked: bool) -> None:
        """Tells the ranks, once, that their generation ends: they keep their state for the next one. `asked`:
        whether they stop at an agreed step, as after `terminate`."""
        if not self._broken:
            self._broken = True
            if asked:
                self._asked, self._asked_at = True, time.monotonic()
            for rank in self._alive.values():
                rank.break_up()

    def terminate(self) -> None:
        """Sends SIGTERM, once: the ranks stop at a step that all agree on, save and exit."""
        if not self._terminated:
            self._terminated = self._asked = True
            self._asked_at = self._asked_at or time.monotonic()
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
        self._spares.close()
        self._selector.close()
