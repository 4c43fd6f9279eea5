"""Measuring the model of a run on a split, all ranks together."""

import itertools
import threading
import time
from typing import Any

import numpy as np

from trainer.distribution import Distribution
from trainer.distribution.rank_status import Phase, report_phase
from trainer.evaluation.tally import Tally
from trainer.training.data import RankData
from trainer.training.run_plan import RunPlan
from trainer.training.step import EvaluationStep, Sums

VOTE_SECONDS = 0.5
"""About how often the ranks agree, while they evaluate, whether to stop."""


class StopVoted(Exception):
    """A rank was asked to stop, and all ranks know it; the state is that between two steps."""


class Evaluator:
    """Evaluates on every rank; each has its own rows of a split.

    Args:
        step: of the current phase; the attribute of that name changes with it.
        stop: set when this rank was asked to stop.
    """

    def __init__(
        self,
        plan: RunPlan,
        distribution: Distribution,
        data: RankData,
        step: EvaluationStep,
        stop: threading.Event,
    ) -> None:
        self._plan, self._distribution, self._data = plan, distribution, data
        self.step, self._stop = step, stop

    def evaluate(self, split: str, tally: Tally | None = None) -> Sums | None:
        """Sums over every row of a split, each once, over all ranks; None when there is no such split.

        This rank's rows are also added to `tally`, but where their probabilities are not finite.

        Raises StopVoted once a rank was asked to stop: the ranks ask each other about every VOTE_SECONDS.
        """
        if self._plan.split(split) is None:
            return None
        sums_of_rank: Any = self.step.nothing()
        done, chunk = 0, 1
        batch_count = self._data.evaluation_batches(split)
        report_phase(Phase.EVALUATING)
        with self._data.evaluation(split) as batches:
            while done < batch_count:
                began = time.perf_counter()
                for rows, images, labels, weights in itertools.islice(batches, chunk):
                    sums, probabilities = self.step(images, labels, weights)
                    sums_of_rank += sums
                    if tally is not None:
                        own = int(np.count_nonzero(weights.numpy()))
                        _add(tally, own, rows.numpy(), labels.numpy(), probabilities)
                    report_phase(Phase.EVALUATING)
                done += chunk
                chunk = self._next_chunk(chunk, time.perf_counter() - began)
        report_phase(Phase.MEETING)
        total: Sums = sums_of_rank.over_ranks(self._distribution.sum)
        report_phase(Phase.PUBLISHING)
        return total

    def _next_chunk(self, chunk: int, spent: float) -> int:
        """The batches until the next vote: the same on every rank, since the sums are."""
        report_phase(Phase.MEETING)
        votes, seconds = self._distribution.sum(np.array([float(self._stop.is_set()), spent]))
        report_phase(Phase.EVALUATING)
        if votes:
            raise StopVoted
        speed = VOTE_SECONDS * self._distribution.size / max(seconds, 1e-6)
        return max(1, int(chunk * min(speed, 8.0)))


def _add(tally: Tally, count: int, rows: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> None:
    """The first `count` rows of a batch; the others pad it."""
    if count and np.isfinite(probabilities[:count]).all():
        tally.add(probabilities[:count], labels[:count], int(rows[0]))
