"""Process 1 of a pod: starts its ranks, forwards signals, restarts them, and logs what happened."""

import logging
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from trainer.distribution.handover import new_memory
from trainer.distribution.rank_variables import GANG, STATE_FD
from trainer.errors import EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_INVALID, ConfigError, shortened
from trainer.gang.generation_end import GangStop, GenerationResult, log_end
from trainer.gang.health.watch import Health
from trainer.gang.leading.connecting import GangOptions, connect
from trainer.gang.members import (
    Answer,
    ExitPod,
    Generation,
    Member,
    MemberState,
    RefusePod,
    RunRanks,
    Seat,
    StopMode,
    StopRanks,
)
from trainer.gang.network.auth import GangKey
from trainer.gang.placement import slots
from trainer.gang.pods import NODE, check_own_name
from trainer.gang.polled import Polled
from trainer.gang.ranks.keeping import keep_states
from trainer.gang.ranks.rank_environment import gloo_timeout, rank_environment
from trainer.gang.ranks.rank_processes import Ranks, reap_orphans
from trainer.gang.ranks.restarts import Failures, judge_exits
from trainer.gang.ranks.stall import Limits
from trainer.gang.ranks.stopping import Deadlines, StopReason
from trainer.gang.signals import StopSignals
from trainer.gang.supervisor_options import SupervisorOptions
from trainer.output.units import plural

if TYPE_CHECKING:
    from trainer.gang.endpoint import Endpoint

log = logging.getLogger("trainer.supervisor")

POLL_SECONDS = 0.05
_NOTIFY_SECONDS = 10.0
"""Seconds that pod 0 stays at the end until the others have received their exit code."""
_ABANDONED_SECONDS = 30.0
"""Seconds without pod 0 after which a pod whose ranks have finished treats the run as finished."""


def supervise(command: Sequence[str], options: SupervisorOptions) -> int:
    """Run `command` as the ranks of this pod until the run is finished, invalid or stopped -> the exit code.

    0: every rank of the gang exited 0. 64: the configuration or the data is invalid. 75: stopped by SIGTERM,
    SIGINT or SIGHUP, or for a transient cause. Anything else: the exit code of the rank that kept failing, 1
    if it was killed. Call it in the main thread. Raises ConfigError if the network does not meet Horovod's
    requirements, a port is taken, or pod 0 was started with a different configuration.
    """
    with ExitStack() as stack:
        return _Supervisor(command, options, stack).run()


class _Supervisor:
    def __init__(self, command: Sequence[str], options: SupervisorOptions, stack: ExitStack) -> None:
        self._command = list(command)
        self._options = options
        self._failures = Failures()
        self._not_ready = "waiting for the other pods"
        self._ranks: Ranks | None = None
        read_finished = options.finished or (lambda: False)
        self._finished = Polled(read_finished, False, every=15.0, description="whether the run is finished")
        pods = options.pods
        key = GangKey.from_environment()
        self._gang = os.environ.get(GANG) or key.gang(pods.coordinator if pods else "")
        self._deadlines = Deadlines(options.grace, gloo_timeout(options.gloo_timeout))
        index, uid = pods.index if pods else 0, secrets.token_hex(8)
        digest = options.agreement.digest if options.agreement else ""
        node = os.environ.get(NODE, "")
        self._member = Member(index, uid, MemberState.IDLE, options.ranks, agreement=digest, node=node)
        self._health = Health(options.health)
        self._refusal: ConfigError | None = None
        self._slow: tuple[int, ...] = ()
        self._signals = stack.enter_context(StopSignals())
        self._states = [stack.enter_context(new_memory()) for _ in range(options.ranks)]
        check_own_name(pods.coordinator if pods else None)
        self._endpoint = self._serve_metrics(stack)
        limits = Limits(options.stall_timeout or 0.0, stopping=options.grace / 3)
        gang_options = GangOptions(limits, options.agreement, options.policy, options.store)
        self._line = connect(pods, gang_options, gang=self._gang, uid=uid)
        stack.callback(self._line.close)

    def run(self) -> int:
        """Runs the pod from the first generation to the last report."""
        code = self._run_generations()
        if code not in (EXIT_FINISHED, EXIT_INVALID) and not self._signals.immediately:
            self._keep_states()
        if self._signals.received and code == EXIT_INTERRUPTED:
            log.info("stopped by %s; restart it to resume", self._signals.received.name)
        reported = code if code in (EXIT_FINISHED, EXIT_INVALID) else self._member.exit_code
        self._line.report_leaving(replace(self._member, state=MemberState.LEAVING, exit_code=reported), 0.5)
        if code in (EXIT_FINISHED, EXIT_INVALID) or (code == EXIT_INTERRUPTED and not self._signals.received):
            self._line.wait_until_notified(_NOTIFY_SECONDS)
        if self._endpoint and code == EXIT_FINISHED:
            self._not_ready = "the run is finished"
            self._endpoint.linger(self._options.linger, lambda: self._signals.received is not None)
        return code

    def _run_generations(self) -> int:
        """Runs one generation after another, until there is a code to exit with."""
        while True:
            answer = self._wait_for_generation()
            if not isinstance(answer, RunRanks):
                return log_end(answer) if answer else EXIT_INTERRUPTED
            result = self._train(answer.generation)
            if result.verdict.code == EXIT_INVALID:
                return EXIT_INVALID
            if result.stop.exit_code is not None:
                return result.stop.exit_code
            if result.verdict.code == EXIT_FINISHED:
                code = self._wait_for_others()
                if code is not None:
                    return code
            elif self._signals.received:
                if result.verdict.code != EXIT_INTERRUPTED:
                    log.warning("while the ranks were stopping: %s", result.describe())
                return EXIT_INTERRUPTED
            elif result.failed:
                if self._give_up(result):
                    return result.verdict.exit_code
                self._back_off()

    def _wait_for_generation(self) -> RunRanks | ExitPod | None:
        """Reports idle until there is a generation to run or the end; None after a signal.

        Raises ConfigError if this pod is refused.
        """
        self._member = replace(self._member, state=MemberState.IDLE)
        self._health.begin()
        while not self._signals.received:
            problem = self._health.problem()
            self._not_ready = f"not ready to train: {problem}" if problem else "waiting for the other pods"
            self._member = replace(self._member, problem=shortened(problem))
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

    def _train(self, generation: Generation) -> GenerationResult:
        """Starts this pod's ranks and waits until they have ended."""
        if self._endpoint and self._member.generation:
            self._endpoint.restarts.inc()
        self._ranks = ranks = Ranks(self._command, self._environments(generation))
        running = replace(self._member, state=MemberState.RUNNING, exit_code=None, problem="")
        self._member = replace(running, generation=generation.id, number=generation.number)
        stop = GangStop()
        reasons: dict[StopReason, float] = {}
        try:
            while ranks.alive:
                self._tick()
                ranks.watch()
                self._member = replace(self._member, progress=ranks.progress())
                answer = self._report()
                self._slow = answer.slow if isinstance(answer, RunRanks) else self._slow
                stop.apply(answer, ranks)
                self._not_ready = stop.stall or ranks.loading()
                now = time.monotonic()
                reasons = dict.fromkeys(stop.reasons(ranks, self._signals), now) | reasons
                if reasons.keys() - {StopReason.FINISHED}:
                    ranks.terminate()
                late = {*stop.late, *(ranks.frozen if reasons else ())}
                ranks.kill(self._deadlines.overdue(ranks.histories(), reasons, now, late))
            verdict = judge_exits(ranks.exits)
            self._member = replace(self._member, exit_code=verdict.code, progress=())
            for number in [verdict.culprit.rank] if verdict.culprit else verdict.forced:
                for line in ranks.tail(number):
                    log.error("rank %d | %s", number, line)
            step = max(status.step for status in ranks.statuses().values())
            return GenerationResult(generation, verdict, stop, step)
        finally:
            self._ranks = None
            ranks.close()

    def _keep_states(self) -> None:
        """Saves what ranks of this pod hold in memory, if no checkpoint has it."""
        alone = Generation("", 0, (Seat(self._member.index, self._member.uid, 1),))
        environment = next(iter(self._environments(alone).values()))
        keep_states(
            self._command,
            self._states,
            environment,
            seconds=self._options.grace,
            tick=lambda: time.sleep(POLL_SECONDS),
        )

    def _wait_for_others(self) -> int | None:
        """This pod's ranks all exited 0 -> the gang's exit code, or None if it has to form again."""
        self._member = replace(self._member, state=MemberState.DONE)
        self._not_ready = "waiting for the other pods' ranks to finish"
        deadline = float("inf")
        while True:
            answer = self._report()
            if isinstance(answer, ExitPod):
                return answer.exit_code
            if isinstance(answer, StopRanks):
                return None
            if self._line.silent_for() > _ABANDONED_SECONDS:
                log.info("this pod's ranks have finished, and pod 0 does not answer: the run is finished")
                return EXIT_FINISHED
            if self._signals.received:
                deadline = min(deadline, time.monotonic() + 2.0)
            if time.monotonic() > deadline:
                return EXIT_INTERRUPTED
            self._tick()

    def _give_up(self, result: GenerationResult) -> bool:
        """Counts a failure, and logs what happened and what follows."""
        self._failures = failures = self._failures.after(result.step)
        description, size = result.describe(), result.generation.size
        if failures.count >= self._options.max_failures:
            number = plural(failures.count, "consecutive failure")
            log.error("%s; %s without progress; giving up", description, number)
            return True
        ranks = f"all {size} ranks" if size > 1 else "the rank"
        delay = f" in {failures.backoff:.0f} s" if failures.backoff else ""
        log.warning(
            "%s; restarting %s%s from the newest state (generation %d)",
            *(description, ranks, delay, result.generation.number + 1),
        )
        return False

    def _back_off(self) -> None:
        """Waits before the ranks start again."""
        self._member = replace(self._member, state=MemberState.BACKING_OFF)
        until = time.monotonic() + self._failures.backoff
        while time.monotonic() < until and not self._signals.received:
            self._not_ready = f"backing off {until - time.monotonic():.0f} s after its ranks failed"
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
                token=generation.token,
                metrics_folder=self._endpoint.folder if self._endpoint else None,
                gpus=self._options.gpus_per_rank,
            )
            | {STATE_FD: str(self._states[slot.local_rank])}
            for slot in slots(generation, self._member.index)
        }

    def _report(self) -> Answer | None:
        answer = self._line.report(self._member)
        if isinstance(answer, RefusePod) and self._options.agreement:
            self._refusal = self._options.agreement.refusal(answer.agreement)
            return StopRanks(StopMode.IMMEDIATE, f"pod 0 refuses this pod: {self._refusal}")
        return answer

    def _tick(self) -> None:
        time.sleep(POLL_SECONDS)
        self._signals.log_once("after this step" if self._ranks else "now")
        if self._endpoint:
            self._endpoint.update(self._member.progress, self._slow)
        if os.getpid() == 1:
            reap_orphans(set(self._ranks.pids.values()) if self._ranks else set())

    def _serve_metrics(self, stack: ExitStack) -> "Endpoint | None":
        port = self._options.metrics_port
        if port is None:
            return None
        from trainer.gang.endpoint import Endpoint

        endpoint = Endpoint(
            port,
            not_ready=lambda: self._not_ready,
            output=lambda rank: self._ranks.last_output(rank) if self._ranks else None,
        )
        log.info("metrics on port %d", endpoint.port)
        stack.callback(endpoint.close)
        return endpoint
