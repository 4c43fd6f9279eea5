"""How a generation of this pod's ranks is asked to stop, and how it ended."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from trainer.errors import EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_INVALID, EXIT_LOST
from trainer.gang.members import Answer, ExitPod, Generation, StopMode, StopRanks
from trainer.gang.ranks.rank_processes import Ranks
from trainer.gang.ranks.restarts import ExitVerdict, Failures
from trainer.gang.ranks.stopping import StopReason, stop_reasons
from trainer.gang.signals import StopSignals
from trainer.output.units import plural

log = logging.getLogger("trainer.supervisor")


@dataclass
class GangStop:
    """How the gang has asked the ranks to stop, so far.

    Attributes:
        mode: None if it has not asked.
        stall: why ranks are late, "" if none are.
        late: the late ranks of the gang, if some of them are in this pod: then these are killed.
        exit_code: what the pod has to exit with, if the gang has ended.
    """

    mode: StopMode | None = None
    stall: str = ""
    late: tuple[int, ...] = ()
    exit_code: int | None = None

    def apply(self, answer: Answer | None, ranks: Ranks) -> None:
        """Follows an answer of the coordinator, and logs it once."""
        if isinstance(answer, ExitPod) and answer.exit_code != EXIT_FINISHED and self.exit_code is None:
            log.info("stopping the ranks: %s", answer.reason)
            invalid = answer.exit_code == EXIT_INVALID
            self.exit_code = answer.exit_code
            self.mode = StopMode.IMMEDIATE if invalid else StopMode.GRACEFUL
        elif isinstance(answer, StopRanks) and self.mode not in (answer.mode, StopMode.IMMEDIATE):
            self.mode = answer.mode
            if answer.late:
                self.stall = answer.reason
            if ranks.print_stacks(answer.late):
                self.late = answer.late
                log.error("killing the ranks: %s", answer.reason)
            else:
                log.info("stopping the ranks: %s", answer.reason)

    def grow(self, missing: int) -> None:
        """Lets the ranks stop at an agreed step, for `missing` ones that are ready to join them."""
        if self.mode is None:
            self.mode = StopMode.GRACEFUL
            log.info("%s can join: stopping the ranks at an agreed step", plural(missing, "replaced rank"))

    def held_code(self, ranks: Ranks) -> int:
        """How ranks that wait for the next generation have left this one, as an exit code."""
        agreed = self.mode is StopMode.GRACEFUL and not ranks.exits
        return EXIT_INTERRUPTED if agreed else EXIT_LOST

    def reasons(self, ranks: Ranks, signals: StopSignals) -> Iterator[StopReason]:
        """Why the ranks have to stop now, for whatever cause."""
        return stop_reasons(
            [ended.code for ended in ranks.exits],
            requested=signals.received is not None or self.mode is StopMode.GRACEFUL,
            broken=self.mode is StopMode.IMMEDIATE or (self.mode is None and ranks.hold),
            invalid=self.exit_code is not None,
            immediately=signals.immediately,
        )


def log_end(end: ExitPod) -> int:
    """Logs why the gang ends -> the exit code."""
    if end.reason:
        log.error("%s", end.reason)
    return end.exit_code


def moves_in_place(stop: GangStop, signals: StopSignals, ranks: Ranks) -> bool:
    """Whether the ranks that live wait for the next generation in their processes, instead of ending."""
    codes = {ended.code for ended in ranks.exits}
    return (
        (stop.mode is not None or bool(codes) or ranks.hold)
        and stop.exit_code is None
        and signals.received is None
        and not codes & {EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_INVALID}
    )


@dataclass(frozen=True)
class GenerationResult:
    """How one generation of this pod's ranks ended.

    Attributes:
        step: the highest step that a rank has finished.
        held: whether ranks live on, with their state, for the next generation.
    """

    generation: Generation
    verdict: ExitVerdict
    stop: GangStop
    step: int
    held: bool = False

    @property
    def failed(self) -> bool:
        """Whether a rank of this pod is the cause, and not another pod."""
        return bool(self.verdict.culprit or self.stop.mode is None or self.stop.late)

    def gives_up(self, failures: Failures, most: int) -> bool:
        """Logs what happened and what follows -> whether the run ends. `failures`: with this one."""
        if failures.count >= most:
            number = plural(failures.count, "consecutive failure")
            log.error("%s; %s without progress; giving up", self.describe(), number)
            return True
        delay = f" in {failures.backoff:.0f} s" if failures.backoff else ""
        following = self.generation.number + 1
        log.warning("%s; %s (generation %d)", self.describe(), self._remedy(delay), following)
        return False

    def _remedy(self, delay: str) -> str:
        """What follows a failure, for the log. `delay`: "" or when it does."""
        size = self.generation.size
        if self.held and not (self.verdict.culprit or self.verdict.forced):
            return f"they keep their state, and join{delay}"
        if self.held:
            return f"replacing it{delay}, while the others keep their state"
        ranks = f"all {size} ranks" if size > 1 else "the rank"
        return f"restarting {ranks}{delay} from the newest state"

    def describe(self) -> str:
        """What happened to the ranks, for the log."""
        if self.stop.late:
            return self.stop.stall
        return self.verdict.describe(several_pods=len(self.generation.seats) > 1)
