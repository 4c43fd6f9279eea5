"""Process 1 of a pod: starts its ranks, forwards signals, restarts them, and logs what happened."""

import logging
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from trainer.distribution.handover import new_memory
from trainer.distribution.rank_variables import GANG
from trainer.errors import EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_INVALID, ConfigError, shortened
from trainer.gang.generation_end import GangStop, GenerationResult, log_end, moves_in_place
from trainer.gang.health.watch import Health
from trainer.gang.leading.connecting import GangOptions, connect
from trainer.gang.members import (
    Answer,
    ExitPod,
    Generation,
    Held,
    Member,
    MemberState,
    RefusePod,
    RunRanks,
    StopMode,
    StopRanks,
)
from trainer.gang.network.auth import GangKey
from trainer.gang.pods import NODE, check_own_name
from trainer.gang.polled import Polled
from trainer.gang.ranks.descendants import reap_orphans
from trainer.gang.ranks.keeping import dismiss, keep_states
from trainer.gang.ranks.pod_environments import PodEnvironments
from trainer.gang.ranks.rank_environment import gloo_timeout
from trainer.gang.ranks.rank_processes import Ranks
from trainer.gang.ranks.restarts import Failures, judge_exits
from trainer.gang.ranks.stall import Limits
from trainer.gang.ranks.stopping import Deadlines, StopReason
from trainer.gang.signals import StopSignals
from trainer.gang.supervisor_options import SupervisorOptions

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
        timeout = gloo_timeout(options.gloo_timeout)
        self._deadlines = Deadlines(options.grace, timeout, in_place=options.in_place)
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
        self._environments = PodEnvironments(
            *(index, options.ranks, options.gloo_timeout, self._gang, options.gpus_per_rank),
            self._endpoint.folder if self._endpoint else None,
        )
        limits = Limits(options.stall_timeout or 0.0, stopping=options.grace / 3)
        gang_options = GangOptions(limits, options.agreement, options.policy, options.store)
        self._line = connect(pods, gang_options, gang=self._gang, uid=uid)
        stack.callback(self._line.close)

    def run(self) -> int:
        """Runs the pod from the first generation to the last report."""
        code = self._run_generations()
        self._save_states(unless=code in (EXIT_FINISHED, EXIT_INVALID))
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
                self._failures = self._failures.after(result.step)
                if result.gives_up(self._failures, self._options.max_failures):
                    return result.verdict.exit_code
                self._back_off()

    def _wait_for_generation(self) -> RunRanks | ExitPod | None:
        """Reports idle until there is a generation to run or the end; None after a signal.

        Raises ConfigError if this pod is refused.
        """
        ranks = self._options.ranks_to_start(self._ranks.ready if self._ranks else 0)
        self._member = replace(self._member, state=MemberState.IDLE, ranks=ranks)
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
        """Starts this pod's ranks, or moves those that live, and waits until they have ended or hold their
        state."""
        if self._endpoint and self._member.generation:
            self._endpoint.restarts.inc()
        environments = self._environments.of_ranks(generation, self._line.port)
        if self._ranks:
            self._ranks.regroup(environments)
        ranks = self._ranks = self._ranks or Ranks(
            self._command, environments, states=self._states, in_place=self._options.in_place
        )
        running = replace(self._member, state=MemberState.RUNNING, exit_code=None, held=(), problem="")
        self._member = replace(running, generation=generation.id, number=generation.number)
        stop = GangStop()
        reasons: dict[StopReason, float] = {}
        in_place = kept = False
        try:
            while ranks.alive and not (in_place and ranks.are_movable):
                self._tick()
                fault = judge_exits(ranks.exits).own_fault
                self._member = replace(self._member, progress=ranks.progress(), exit_code=fault)
                answer = self._report()
                self._slow = answer.slow if isinstance(answer, RunRanks) else self._slow
                stop.apply(answer, ranks)
                missing = self._options.ranks - len(environments)
                if missing and ranks.parked >= missing:
                    stop.grow(missing)
                self._not_ready = stop.stall or ranks.loading()
                now = time.monotonic()
                reasons = dict.fromkeys(stop.reasons(ranks, self._signals), now) | reasons
                in_place = self._options.in_place and moves_in_place(stop, self._signals, ranks)
                if in_place:
                    ranks.break_up(asked=stop.mode is StopMode.GRACEFUL)
                elif reasons.keys() - {StopReason.FINISHED}:
                    ranks.terminate()
                else:
                    self._park(ranks, generation, missing)
                frozen = ranks.frozen if reasons else set()
                late = {*stop.late, *frozen}
                ranks.kill(self._deadlines.overdue(ranks.histories(), reasons, now, late, frozen))
            verdict = judge_exits(ranks.exits, held=stop.held_code(ranks) if ranks.alive else None)
            held = tuple(Held(*one) for one in enumerate(ranks.held()))
            self._member = replace(self._member, exit_code=verdict.code, progress=(), held=held)
            for number in [verdict.culprit.rank] if verdict.culprit else verdict.forced:
                for line in ranks.tail(number):
                    log.error("rank %d | %s", number, line)
            step = max(status.step for status in ranks.statuses().values())
            kept, ranks.judged = in_place, len(ranks.exits)
            return GenerationResult(generation, verdict, stop, step, held=ranks.alive)
        finally:
            if not kept:
                self._ranks = None
                ranks.close()

    def _park(self, ranks: Ranks, generation: Generation, missing: int) -> None:
        """Starts processes that are to replace ranks: `missing` ones at once, others when all ranks train."""
        trains = all(status.step >= 0 for status in ranks.statuses().values())
        wanted = missing + (self._options.spares if trains and not missing else 0)
        if wanted:
            ranks.park(wanted, self._environments.parked(generation, self._line.port))

    def _save_states(self, *, unless: bool) -> None:
        """Ends the ranks that wait for a next generation, and saves what only this pod's memory has."""
        grace, began = self._options.grace, time.monotonic()
        if self._ranks:
            dismiss(self._ranks, seconds=grace, tick=self._tick, at_once=lambda: self._signals.immediately)
            self._ranks = None
        if unless or self._signals.immediately:
            return
        environment = self._environments.alone(self._line.port)
        tick = partial(time.sleep, POLL_SECONDS)  # not ours, which reaps what is not a rank
        left = began + grace - time.monotonic()
        keep_states(self._command, self._states, environment, seconds=left, tick=tick)

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

    def _back_off(self) -> None:
        """Waits before the ranks start again."""
        self._member = replace(self._member, state=MemberState.BACKING_OFF)
        until = time.monotonic() + self._failures.backoff
        while time.monotonic() < until and not self._signals.received:
            self._not_ready = f"backing off {until - time.monotonic():.0f} s after its ranks failed"
            self._report()
            self._tick()

    def _report(self) -> Answer | None:
        answer = self._line.report(self._member)
        if isinstance(answer, RefusePod) and self._options.agreement:
            self._refusal = self._options.agreement.refusal(answer.agreement)
            return StopRanks(StopMode.IMMEDIATE, f"pod 0 refuses this pod: {self._refusal}")
        return answer

    def _tick(self) -> None:
        time.sleep(POLL_SECONDS)
        self._signals.log_once("after this step" if self._ranks else "now")
        if self._ranks:
            self._ranks.watch()
        if self._endpoint:
            self._endpoint.update(self._member.progress, self._slow)
        if os.getpid() == 1:
            reap_orphans(self._ranks.processes if self._ranks else set())

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
