"""How a rank survives the loss of another one in its own process: it keeps its state, and joins the next
generation."""

import logging
import time
from collections.abc import Callable

from trainer.checkpoints.training_state import TrainingState, pack, unpack
from trainer.checkpoints.writer import save_once
from trainer.distribution import Distribution, rank_variables
from trainer.distribution.handover import hand_over, handed_over
from trainer.distribution.stop_cause import StopCause
from trainer.errors import RankLost, TransientError, one_line
from trainer.runs.claim import claim_again
from trainer.storage import Store
from trainer.training.run_plan import RunPlan

log = logging.getLogger(__name__)


class Recovery:
    """Moves this rank into the next generation when another rank is lost.

    What it has done lies in the memory that its supervisor keeps (`handover`), for this process or, if this
    one fails on the way, for the one that replaces it.

    Attributes:
        over: whether this rank ends when another one is lost, as all its work is saved.
        rejoined: whether this process is in its second generation, or a later one.
    """

    def __init__(self, distribution: Distribution, store: Store, stop: StopCause) -> None:
        self.over = self.rejoined = False
        self._distribution, self._store, self._stop = distribution, store, stop
        self._marks: list[tuple[str, float]] = []

    @property
    def is_possible(self) -> bool:
        """Whether this rank can join the next generation in its process."""
        return not self.over and not self._stop.by_signal and self._distribution.can_rejoin

    def keep(self, state: TrainingState) -> bool:
        """Keeps the state after the last finished step -> whether this rank can join the next generation with
        it. The state is then safe while the supervisor lives."""
        self._marks = [("", time.monotonic())]
        return hand_over(pack(state)) and self.is_possible

    def secure(self, capture: Callable[[], TrainingState]) -> None:
        """Keeps the state also while it is saved: a store that does not answer must not lose it."""
        if self._distribution.can_rejoin:
            hand_over(pack(capture()))

    def rejoin(self, lost: RankLost, plan: RunPlan) -> bool:
        """Whether this rank has joined the next generation after `lost`, in the place that its supervisor has
        assigned. The chief saves what it keeps if that takes long, or if it has to end.

        Raises TransientError if it was asked to stop, or the others do not appear.
        """
        if not self.is_possible:
            return False
        log.info("%s: this process keeps its state, and joins the next generation", lost.problem)
        self._marks = self._marks[:1] or [("", time.monotonic())]
        save = self._saving(plan)
        try:
            self.mark("keep")
            while self._distribution.hold(save):
                if self._distribution.join(lambda: self.mark("join")):
                    self.mark("init")
                    self.rejoined = True
                    return True
        except TransientError:
            save()
            raise
        save()
        return False

    def mark(self, part: str) -> None:
        """Notes that a part of the recovery has ended."""
        if self._marks:
            self._marks.append((part, time.monotonic()))

    def first_step(self) -> None:
        """Logs, after the first step in a new generation, where the time went."""
        if not self.rejoined or not self._marks:
            return
        self.mark("first step")
        seconds = [
            f"{part} {at - before:.2f}"
            for (_, before), (part, at) in zip(self._marks, self._marks[1:], strict=False)
        ]
        log.info(
            "recovered as rank %d of %d in %.2f s: %s",
            *(self._distribution.rank, self._distribution.size),
            *(self._marks[-1][1] - self._marks[0][1], ", ".join(seconds)),
        )
        self._marks = []

    def _saving(self, plan: RunPlan) -> Callable[[], None]:
        """A function that saves what this rank keeps, once, if it is the chief."""
        saved = False

        def save() -> None:
            nonlocal saved
            state = None if saved or rank_variables.rank() else handed_over()
            if state is None:
                return
            try:
                save_once(claim_again(self._store, plan.document, rank_variables.holder()), unpack(state))
                saved = True
            except (TransientError, OSError) as error:
                log.warning("what this rank keeps in memory could not be saved: %s", one_line(error))

        return save
