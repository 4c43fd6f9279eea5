"""Process 1 of a pod: starts its ranks, forwards signals, starts a broken gang again, and says what happened."""

import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType

from trainer.distribution.coordinator import Coordinator, serve
from trainer.distribution.cores import thread_environment, usable_cores
from trainer.distribution.gang import End, Generation, How, Member, Run, State, Wait
from trainer.distribution.member import Direct, Line, Remote, interface_of
from trainer.distribution.placement import Slot, horovod_environment, slots
from trainer.distribution.ranks import Ranks, reap_orphans
from trainer.distribution.restarts import Failures, Verdict, judge
from trainer.errors import AGAIN, FINISHED, WRONG

log = logging.getLogger("trainer.supervisor")

_TICK = 0.05
_BROKEN_GRACE = 3.0
"""Seconds from SIGTERM to SIGKILL where the exchange is broken: nothing is left to agree on."""
_FINISH_GRACE = 120.0
"""Seconds for the last rank to exit 0 after the first: by then the run has been saved."""
_FAREWELL = 10.0


@dataclass(frozen=True)
class Pods:
    """This pod among several.

    Attributes:
        index: this pod's number; pod 0 coordinates.
        coordinator: pod 0's name or address, the same in every pod.
        port: where pod 0's coordinator listens.
        wanted: how many pods the gang shall have, asked often: it must answer at once.
    """

    index: int
    coordinator: str
    port: int
    wanted: Callable[[], int]


@dataclass(frozen=True)
class SupervisorOptions:
    """
    Attributes:
        ranks: rank processes in this pod.
        grace: seconds that ranks have from SIGTERM to their exit.
        gloo_timeout: seconds after which a rank notices a lost one that it does not talk to directly.
        max_failures: so many failures in a row without a new step end the run.
        pods: None on one machine.
    """

    ranks: int = 1
    grace: float = 60.0
    gloo_timeout: int = 5
    max_failures: int = 6
    pods: Pods | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def supervise(command: Sequence[str], options: SupervisorOptions) -> int:
    """Run `command` as the ranks of this pod until the run is finished, wrong or stopped -> the exit code.

    0: every rank of the gang exited 0. 64: a rank said that nothing would change by starting again. 75: stopped by
    SIGTERM, SIGINT or SIGHUP, or for a passing cause. Anything else: the code of the rank that kept failing (1 if it
    was killed). To be called in the main thread.
    """
    return _Supervisor(command, options).run()


class _Supervisor:
    def __init__(self, command: Sequence[str], options: SupervisorOptions) -> None:
        self._command = list(command)
        self._options = options
        self._stop: signal.Signals | None = None
        self._hurry = False
        self._failures = Failures()
        index = options.pods.index if options.pods else 0
        self._member = Member(index, secrets.token_hex(8), State.IDLE, options.ranks)
        self._coordinator: Coordinator | None = None
        self._ranks: Ranks | None = None

    def run(self) -> int:
        with self._signals(), self._line() as self._to_coordinator:
            code = self._story()
            leaving = replace(self._member, state=State.LEAVING, exit_code=code)
            self._to_coordinator.last_words(leaving, 0.5)
            if self._coordinator and self._options.pods and code in (FINISHED, WRONG):
                self._coordinator.wait_for_farewell(_FAREWELL)
            return code

    def _story(self) -> int:
        """Generation after generation, until there is a code to exit with."""
        while True:
            answer = self._wait_for_generation()
            if not isinstance(answer, Run):
                return answer.exit_code if answer else AGAIN
            verdict, how = self._run(answer.generation)
            if verdict.code == WRONG:
                return WRONG
            if verdict.code == FINISHED:
                end = self._wait_for_others()
                if end is not None:
                    return end
                continue
            if self._stop:
                return AGAIN
            if how is not None and verdict.culprit is None:
                continue
            self._failures = self._failures.after(self._furthest)
            self._explain(verdict, answer.generation)
            if self._failures.count >= self._options.max_failures:
                return verdict.code
            self._rest(self._failures.rest)

    def _wait_for_generation(self) -> Run | End | None:
        """Stand idle until the coordinator gives out a generation or the end; None when asked to stop."""
        self._member = replace(self._member, state=State.IDLE)
        while not self._stop:
            answer = self._tell()
            if isinstance(answer, Run | End):
                return answer
            self._tick()
        return None

    def _run(self, generation: Generation) -> tuple[Verdict, How | None]:
        """Start this pod's ranks and stay until they have ended -> how they ended, how the gang asked them to stop."""
        own = slots(generation, self._member.index)
        self._ranks = ranks = Ranks(
            self._command, {slot.rank: self._environment(slot, generation) for slot in own}
        )
        self._member = replace(
            self._member,
            state=State.RUNNING,
            generation=generation.id,
            number=generation.number,
            exit_code=None,
        )
        how: How | None = None
        deadline = float("inf")
        try:
            while ranks.alive:
                self._tick()
                ranks.watch()
                answer = self._tell()
                if isinstance(answer, Wait) and how != "hard":
                    how = answer.how
                if isinstance(answer, End) and answer.exit_code == WRONG:
                    how = "hard"
                grace = self._grace(ranks, how)
                if grace is not None:
                    if grace < _FINISH_GRACE:
                        ranks.terminate()
                    deadline = min(deadline, time.monotonic() + grace)
                if time.monotonic() >= deadline:
                    ranks.kill()
            self._furthest = max((status.step for status in ranks.statuses().values()), default=-1)
            verdict = judge(ranks.exits)
            self._member = replace(self._member, exit_code=verdict.code)
            if verdict.culprit and verdict.culprit.code != FINISHED:
                self._post_mortem(ranks, verdict)
            return verdict, how
        finally:
            self._ranks = None
            ranks.close()

    def _grace(self, ranks: Ranks, how: How | None) -> float | None:
        """Seconds that the ranks may still live, None as long as they like."""
        if self._hurry:
            return 0.0
        codes = {one.code for one in ranks.exits}
        if how == "hard" or codes - {FINISHED, AGAIN}:
            return _BROKEN_GRACE
        if self._stop or how == "soft" or AGAIN in codes:
            return self._options.grace
        return _FINISH_GRACE if codes else None

    def _wait_for_others(self) -> int | None:
        """This pod's ranks all exited 0 -> the gang's exit code, or None if it has to form again."""
        self._member = replace(self._member, state=State.DONE)
        patience = float("inf")
        while True:
            answer = self._tell()
            if isinstance(answer, End):
                return answer.exit_code
            if isinstance(answer, Wait):
                return None
            if self._stop:
                patience = min(patience, time.monotonic() + 2.0)
            if time.monotonic() > patience:
                return AGAIN
            if self._to_coordinator.silent_for() > 30.0:
                log.info("this pod's ranks have finished, and pod 0 is gone: so has the run")
                return FINISHED
            self._tick()

    def _rest(self, seconds: float) -> None:
        self._member = replace(self._member, state=State.RESTING)
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._stop:
            self._tell()
            self._tick()

    def _explain(self, verdict: Verdict, generation: Generation) -> None:
        what = str(verdict.culprit) if verdict.culprit else "the ranks stopped for a passing cause (code 75)"
        count, most = self._failures.count, self._options.max_failures
        if count >= most:
            log.error("%s; this was failure %d of %d without a new step: giving up", what, count, most)
            return
        after = f" in {self._failures.rest:.0f} s" if self._failures.rest else ""
        log.warning(
            "%s; starting all %d ranks again%s from the last checkpoint (generation %d)",
            what, generation.size, after, generation.number + 1,
        )  # fmt: skip

    @staticmethod
    def _post_mortem(ranks: Ranks, verdict: Verdict) -> None:
        assert verdict.culprit
        for line in ranks.tail(verdict.culprit.rank):
            log.error("rank %d | %s", verdict.culprit.rank, line)

    def _environment(self, slot: Slot, generation: Generation) -> dict[str, str]:
        line = self._to_coordinator
        given = {name: value for name, value in os.environ.items() if not name.startswith("HOROVOD_")}
        asked = {name: value for name, value in os.environ.items() if name == "HOROVOD_GLOO_IFACE"}
        interface = interface_of(self._own_address())
        return {
            **thread_environment(slot.local_size, usable_cores()),
            **({"HOROVOD_GLOO_IFACE": interface} if interface else {}),
            **given,
            **asked,
            **self._options.environment,
            **horovod_environment(
                slot, address=line.address, port=line.port, gloo_timeout=self._options.gloo_timeout
            ),
            "TRAINER_GENERATION": str(generation.number),
            "TRAINER_POD": str(slot.pod),
        }

    def _own_address(self) -> str:
        """The address by which the gang's other pods reach this one."""
        pods = self._options.pods
        if pods is None:
            return "127.0.0.1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((pods.coordinator, pods.port))
            return str(probe.getsockname()[0])

    def _tell(self) -> Run | Wait | End | None:
        return self._to_coordinator.tell(self._member)

    def _tick(self) -> None:
        time.sleep(_TICK)
        if os.getpid() == 1:
            reap_orphans(set(self._ranks.pids.values()) if self._ranks else set())

    @contextmanager
    def _line(self) -> Iterator[Line]:
        pods = self._options.pods
        if pods and pods.index:
            remote = Remote(pods.coordinator, pods.port)
            try:
                yield remote
            finally:
                remote.close()
            return
        self._coordinator = Coordinator(pods.wanted if pods else lambda: 1, host="" if pods else "127.0.0.1")
        server = serve(self._coordinator, "", pods.port) if pods else None
        try:
            yield Direct(self._coordinator)
        finally:
            if server:
                server.shutdown()
                server.server_close()
            self._coordinator.close()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def heard(number: int, _: FrameType | None) -> None:
            # A second Ctrl-C is somebody who does not want to wait.
            self._hurry = self._stop is not None and number == signal.SIGINT
            if self._stop is None:
                self._stop = signal.Signals(number)

        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = {number: signal.signal(number, heard) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def log_to_stderr() -> None:
    """The supervisor's own lines, for a process that has set up no logging."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S"
    )
