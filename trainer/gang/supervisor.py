"""Process 1 of a pod: starts its ranks, forwards signals, restarts them, and logs what happened."""

import logging
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from typing import TYPE_CHECKING

from trainer.distribution.agreement import Agreement
from trainer.distribution.rank_variables import GANG
from trainer.errors import EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_INVALID, EXIT_LOST, ConfigError
from trainer.gang.coordinator import Coordinator, serve
from trainer.gang.line import Direct, Line, Remote
from trainer.gang.members import (
    Answer,
    ExitPod,
    Generation,
    How,
    Member,
    MemberState,
    RefusePod,
    RunRanks,
    StopRanks,
)
from trainer.gang.network.auth import GangKey
from trainer.gang.placement import slots
from trainer.gang.pods import Pods, check_own_name
from trainer.gang.polled import Polled
from trainer.gang.ranks.rank_environment import gloo_timeout, rank_environment
from trainer.gang.ranks.rank_processes import Ranks, reap_orphans
from trainer.gang.ranks.restarts import ExitVerdict, Failures, judge_exits
from trainer.gang.ranks.stall import Limits
from trainer.gang.ranks.stopping import Deadlines, Why

if TYPE_CHECKING:
    from trainer.gang.endpoint import Endpoint

log = logging.getLogger("trainer.supervisor")

POLL_SECONDS = 0.05
_END_GRACE = 10.0
"""Seconds that pod 0 stays at the end until the others know that the run has ended."""
_ABANDONED = 30.0
"""Seconds without pod 0 after which a pod whose ranks have finished takes the run for finished."""


@dataclass(frozen=True)
class SupervisorOptions:
    """How a pod's ranks are run.

    Attributes:
        ranks: rank processes in this pod.
        gpus_of_rank: GPUs that each of them sees, where there are any.
        grace: seconds that ranks have from SIGTERM to their exit.
        gloo_timeout: seconds after which a rank notices the loss of one that it is not connected to.
        max_failures: failures in a row without a new step after which the pod gives up.
        stall_timeout: seconds without progress after which ranks are killed; None for never.
        pods: None on one machine.
        metrics_port: of /metrics, /healthz and /readyz; 0 for a free one, None for none.
        linger: seconds that a finished pod stays for its last metrics to be read.
        finished: reads whether the run is finished; called in a thread while this pod waits for others,
            who may all have gone.
        agreement: what the gang's pods have to have alike; None where that is not compared.
    """

    ranks: int = 1
    gpus_of_rank: int = 1
    grace: float = 60.0
    gloo_timeout: int = 5
    max_failures: int = 6
    stall_timeout: float | None = None
    pods: Pods | None = None
    metrics_port: int | None = None
    linger: float = 0.0
    finished: Callable[[], bool] | None = None
    agreement: Agreement | None = None


def supervise(command: Sequence[str], options: SupervisorOptions) -> int:
    """Run `command` as the ranks of this pod until the run is finished, invalid or stopped -> the exit code.

    0: every rank of the gang exited 0. 64: for a rank the configuration or the data was invalid. 75: stopped
    by SIGTERM, SIGINT or SIGHUP, or for a transient cause. Anything else: the code of the rank that kept
    failing, 1 if it was killed. Call it in the main thread. Raises ConfigError when the network is not as
    Horovod needs it, a port is taken, or pod 0 was started with something else.
    """
    with ExitStack() as stack:
        return _Supervisor(command, options, stack).run()


class _Supervisor:
    def __init__(self, command: Sequence[str], options: SupervisorOptions, stack: ExitStack) -> None:
        self._command = list(command)
        self._options = options
        self._stop: signal.Signals | None = None
        self._hurry = False
        self._failures = Failures()
        self._waiting_for = "the other pods"
        self._ranks: Ranks | None = None
        self._coordinator: Coordinator | None = None
        self._furthest = -1
        self._stalled, self._late = "", tuple[int, ...]()
        self._end: int | None = None
        self._finished: Callable[[], bool] = lambda: False
        if options.finished:
            self._finished = Polled(options.finished, False, every=15.0, what="whether the run is finished")
        pods = options.pods
        key = GangKey.from_environment()
        self._gang = os.environ.get(GANG) or key.gang(pods.coordinator if pods else "")
        self._deadlines = Deadlines(options.grace, gloo_timeout(options.gloo_timeout))
        self._limits = Limits(options.stall_timeout or 0.0, stopping=options.grace / 3)
        self._member = Member(
            pods.index if pods else 0, secrets.token_hex(8), MemberState.IDLE, options.ranks
        )
        self._refusal: ConfigError | None = None
        if options.agreement:
            self._member = replace(self._member, agreement=options.agreement.digest)
        stack.enter_context(self._signals())
        check_own_name(pods.coordinator if pods else None)
        self._endpoint = self._serve_metrics(stack)
        self._line = self._connect(stack)

    def run(self) -> int:
        """From the first generation to the last report."""
        code = self._run_generations()
        if self._stop and code == EXIT_INTERRUPTED:
            log.info("stopped by %s; started again, the run goes on", self._stop.name)
        reported = code if code in (EXIT_FINISHED, EXIT_INVALID) else self._member.exit_code
        self._line.report_leaving(replace(self._member, state=MemberState.LEAVING, exit_code=reported), 0.5)
        if self._coordinator and self._options.pods and code in (EXIT_FINISHED, EXIT_INVALID):
            self._coordinator.wait_until_told(_END_GRACE)
        if self._endpoint and code == EXIT_FINISHED:
            self._waiting_for = "nothing: the run is finished"
            self._endpoint.linger(self._options.linger, lambda: self._stop is not None)
        return code

    def _run_generations(self) -> int:
        """Generation after generation, until there is a code to exit with."""
        while True:
            answer = self._wait_for_generation()
            if not isinstance(answer, RunRanks):
                return answer.exit_code if answer else EXIT_INTERRUPTED
            verdict, how = self._train(answer.generation)
            if verdict.code == EXIT_INVALID:
                return EXIT_INVALID
            if self._end is not None:
                return self._end
            if verdict.code == EXIT_FINISHED:
                end = self._wait_for_others()
                if end is not None:
                    return end
            elif self._stop:
                if verdict.code != EXIT_INTERRUPTED:
                    log.warning("while the ranks were stopping: %s", self._what(verdict, answer.generation))
                return EXIT_INTERRUPTED
            elif verdict.culprit or how is None or self._stalled:
                if self._give_up(verdict, answer.generation):
                    return verdict.exit_code
                self._rest()

    def _wait_for_generation(self) -> RunRanks | ExitPod | None:
        """Report idle until there is a generation to run or the end; None when asked to stop.

        Raises ConfigError where this pod is refused.
        """
        self._member = replace(self._member, state=MemberState.IDLE)
        self._waiting_for = "the other pods"
        while not self._stop:
            answer = self._report()
            if self._refusal:
                raise self._refusal
            if isinstance(answer, RunRanks | ExitPod):
                return answer
            if self._options.pods and self._finished():
                log.info("the run is finished")
                return ExitPod(EXIT_FINISHED)
            self._tick()
        return None

    def _train(self, generation: Generation) -> tuple[ExitVerdict, How | None]:
        """Start this pod's ranks, wait for their end -> how they ended, how the gang asked them to stop."""
        if self._endpoint and self._member.generation:
            self._endpoint.restarts.inc()
        self._ranks = ranks = Ranks(self._command, self._environments(generation))
        running = replace(self._member, state=MemberState.RUNNING, exit_code=None)
        self._member = replace(running, generation=generation.id, number=generation.number)
        self._waiting_for = self._stalled = ""
        self._late = ()
        how: How | None = None
        why: dict[Why, float] = {}
        try:
            while ranks.alive:
                self._tick()
                ranks.watch()
                self._member = replace(self._member, progress=ranks.progress())
                how = self._obey(self._report(), how, ranks)
                now = time.monotonic()
                why = dict.fromkeys(self._reasons(ranks, how), now) | why
                if why.keys() - {Why.FINISHED}:
                    ranks.terminate()
                ranks.kill(self._deadlines.overdue(ranks.paces(), why, now, self._late))
            verdict = judge_exits(ranks.exits)
            self._member = replace(self._member, exit_code=verdict.code, progress=())
            self._furthest = max(status.step for status in ranks.statuses().values())
            for number in [verdict.culprit.rank] if verdict.culprit else verdict.forced:
                for line in ranks.tail(number):
                    log.error("rank %d | %s", number, line)
            return verdict, how
        finally:
            self._ranks = None
            ranks.close()

    def _obey(self, answer: Answer | None, how: How | None, ranks: Ranks) -> How | None:
        """How the gang wants the ranks stopped; None while it does not."""
        if isinstance(answer, ExitPod) and answer.exit_code == EXIT_INVALID and self._end is None:
            log.info("stopping the ranks: another pod has failed for good (64), see its log")
            self._end = answer.exit_code
            return "hard"
        if isinstance(answer, StopRanks) and how not in (answer.how, "hard"):
            if answer.late:
                self._waiting_for = answer.reason
            if ranks.print_stacks(answer.late):
                self._stalled, self._late = answer.reason, answer.late
                log.error("killing the ranks: %s", answer.reason)
            else:
                log.info("stopping the ranks: %s", answer.reason)
            return answer.how
        return how

    def _reasons(self, ranks: Ranks, how: How | None) -> Iterator[Why]:
        """Why the ranks are to stop, now."""
        codes = {one.code for one in ranks.exits}
        if self._hurry:
            yield Why.AT_ONCE
        if self._end is not None or EXIT_INVALID in codes:
            yield Why.INVALID
        if how == "hard" or codes - {EXIT_FINISHED, EXIT_INTERRUPTED}:
            yield Why.BROKEN
        if self._stop or how == "soft" or EXIT_INTERRUPTED in codes:
            yield Why.AGREED
        if codes:
            yield Why.FINISHED

    def _wait_for_others(self) -> int | None:
        """This pod's ranks all exited 0 -> the gang's exit code, or None if it has to form again."""
        self._member = replace(self._member, state=MemberState.DONE)
        self._waiting_for = "the other pods' ranks to finish"
        patience = float("inf")
        while True:
            answer = self._report()
            if isinstance(answer, ExitPod):
                return answer.exit_code
            if isinstance(answer, StopRanks):
                return None
            if self._line.silent_for() > _ABANDONED:
                log.info("this pod's ranks have finished, and pod 0 is gone: the run is finished")
                return EXIT_FINISHED
            if self._stop:
                patience = min(patience, time.monotonic() + 2.0)
            if time.monotonic() > patience:
                return EXIT_INTERRUPTED
            self._tick()

    def _what(self, verdict: ExitVerdict, generation: Generation) -> str:
        """What happened to the ranks, for the log."""
        if self._stalled:
            return self._stalled
        if verdict.culprit:
            return str(verdict.culprit)
        if verdict.forced:
            ranks = " and ".join(map(str, verdict.forced))
            return f"lost rank {ranks}, which did not answer or did not stop with the others, and was killed"
        if verdict.code == EXIT_LOST:
            return "this pod's ranks have lost a rank of another pod"
        if len(generation.seats) > 1:
            return "this pod's ranks stopped, as they do when another rank is leaving (code 75)"
        return "the ranks stopped for a transient cause (code 75)"

    def _give_up(self, verdict: ExitVerdict, generation: Generation) -> bool:
        """Count a failure, and log what happened and what follows."""
        self._failures = failures = self._failures.after(self._furthest)
        what = self._what(verdict, generation)
        if failures.count >= self._options.max_failures:
            log.error("%s; %d failures in a row without a new step: giving up", what, failures.count)
            return True
        ranks = f"all {generation.size} ranks" if generation.size > 1 else "the rank"
        after = f" in {failures.rest:.0f} s" if failures.rest else ""
        number = generation.number + 1
        log.warning(
            "%s; restarting %s%s from the last checkpoint (generation %d)", what, ranks, after, number
        )
        return False

    def _rest(self) -> None:
        """Wait a little before the ranks start again."""
        self._member = replace(self._member, state=MemberState.RESTING)
        until = time.monotonic() + self._failures.rest
        while time.monotonic() < until and not self._stop:
            self._waiting_for = f"{until - time.monotonic():.0f} s to pass since its ranks failed"
            self._report()
            self._tick()

    def _environments(self, generation: Generation) -> dict[int, dict[str, str]]:
        return {
            slot.rank: rank_environment(
                slot,
                generation=generation.number,
                rendezvous_port=self._line.port,
                gloo_timeout=self._options.gloo_timeout,
                gang=self._gang,
                metrics_folder=self._endpoint.folder if self._endpoint else None,
                gpus=self._options.gpus_of_rank,
            )
            for slot in slots(generation, self._member.index)
        }

    def _report(self) -> Answer | None:
        answer = self._line.report(self._member)
        if isinstance(answer, RefusePod) and self._options.agreement:
            self._refusal = self._options.agreement.refusal(answer.agreement)
            return StopRanks("hard", f"pod 0 refuses this pod: {self._refusal}")
        return answer

    def _tick(self) -> None:
        time.sleep(POLL_SECONDS)
        if self._endpoint:
            self._endpoint.show(self._member.progress)
        if os.getpid() == 1:
            reap_orphans(set(self._ranks.pids.values()) if self._ranks else set())

    def _connect(self, stack: ExitStack) -> Line:
        """To the coordinator: pod 0's, or this process's own."""
        pods = self._options.pods
        if pods and pods.index:
            remote = Remote(pods.coordinator, pods.port, pods.key)
            stack.callback(remote.close)
            return remote
        if not pods:
            coordinator = self._coordinator = Coordinator(lambda: 1, limits=self._limits)
            stack.callback(coordinator.close)
            return Direct(coordinator)
        read = pods.wanted or (lambda: pods.count)
        wanted = Polled(read, pods.count, every=5.0, what="the number of pods wanted")
        coordinator = self._coordinator = Coordinator(
            wanted, host="", key=pods.key, limits=self._limits, agreement=self._options.agreement
        )
        stack.callback(coordinator.close)
        try:
            server = serve(coordinator, "", pods.port, pods.key)
        except OSError as error:
            raise ConfigError(f"the coordinator's port {pods.port}: {error.strerror}") from None
        stack.callback(server.close)
        return Direct(coordinator)

    def _serve_metrics(self, stack: ExitStack) -> "Endpoint | None":
        port = self._options.metrics_port
        if port is None:
            return None
        from trainer.gang.endpoint import Endpoint

        try:
            endpoint = Endpoint(
                port,
                waiting_for=lambda: self._waiting_for,
                output=lambda rank: self._ranks.last_output(rank) if self._ranks else None,
            )
        except OSError as error:
            raise ConfigError(f"metrics.port {port}: {error.strerror}", "Choose a free one, or 0") from None
        log.info("metrics at port %d", endpoint.port)
        stack.callback(endpoint.close)
        return endpoint

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def handle(number: int, _: FrameType | None) -> None:
            # A second Ctrl-C asks not to wait.
            self._hurry = self._hurry or (self._stop is not None and number == signal.SIGINT)
            self._stop = self._stop or signal.Signals(number)

        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = {number: signal.signal(number, handle) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
