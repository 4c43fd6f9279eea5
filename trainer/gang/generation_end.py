"""How a generation of this pod's ranks is asked to stop, and how it ended."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from trainer.errors import EXIT_INVALID
from trainer.gang.members import Answer, ExitPod, Generation, StopMode, StopRanks
from trainer.gang.ranks.rank_processes import Ranks
from trainer.gang.ranks.restarts import ExitVerdict
from trainer.gang.ranks.stopping import StopReason, stop_reasons
from trainer.gang.signals import StopSignals

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
        if isinstance(answer, ExitPod) and answer.exit_code == EXIT_INVALID and self.exit_code is None:
            log.info("stopping the ranks: another pod failed permanently (exit 64); see its log")
            self.exit_code, self.mode = answer.exit_code, StopMode.IMMEDIATE
        elif isinstance(answer, StopRanks) and self.mode not in (answer.mode, StopMode.IMMEDIATE):
            self.mode = answer.mode
            if answer.late:
                self.stall = answer.reason
            if ranks.print_stacks(answer.late):
                self.late = answer.late
                log.error("killing the ranks: %s", answer.reason)
            else:
                log.info("stopping the ranks: %s", answer.reason)

    def reasons(self, ranks: Ranks, signals: StopSignals) -> Iterator[StopReason]:
        """Why the ranks have to stop now, for whatever cause."""
        return stop_reasons(
            [ended.code for ended in ranks.exits],
            requested=signals.received is not None or self.mode is StopMode.GRACEFUL,
            broken=self.mode is StopMode.IMMEDIATE,
            invalid=self.exit_code is not None,
            immediately=signals.immediately,
        )


@dataclass(frozen=True)
class GenerationResult:
    """How one generation of this pod's ranks ended. `step`: the highest step that a rank has finished."""

    generation: Generation
    verdict: ExitVerdict
    stop: GangStop
    step: int

    @property
    def failed(self) -> bool:
        """Whether a rank of this pod is the cause, and not another pod."""
        return bool(self.verdict.culprit or self.stop.mode is None or self.stop.late)

    def describe(self) -> str:
        """What happened to the ranks, for the log."""
        if self.stop.late:
            return self.stop.stall
        return self.verdict.describe(several_pods=len(self.generation.seats) > 1)
