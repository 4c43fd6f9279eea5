"""Every K steps each rank recomputes the gradients of its neighbour, and all compare digests."""

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.dataset.pipeline.stream import BatchStream
from trainer.distribution import Distribution
from trainer.errors import EXIT_LOST, TrainerError
from trainer.observability.metrics import RunMetrics
from trainer.runs.fence import Fence
from trainer.runs.findings import AuditFinding, add_finding
from trainer.training.audit.device import describe_device
from trainer.training.audit.digest import digest
from trainer.training.audit.verdict import audited_by, disputed, judge_audit
from trainer.training.data import RankData
from trainer.training.run_plan import RunPlan
from trainer.training.run_state import Progress
from trainer.training.step import TrainStep

log = logging.getLogger(__name__)

_DEVICE_BYTES = 200
_HALF = 1 << 32


class Corrupted(TrainerError):
    """A rank computed wrong gradients. Raised by all ranks, once the finding is recorded."""

    def __init__(self, finding: AuditFinding, *, mine: bool) -> None:
        culprits, trusted = " and ".join(finding.culprits), finding.trusted
        problem = f"the gradients of {culprits} in step {finding.step} differ from the majority"
        remedy = "If it happens again, cordon the node and have its device tested"
        if not finding.certain:
            problem = (
                f"{culprits} do not agree on the gradients of step {finding.step}, and there is no majority"
            )
            remedy = "Ranks need the same kind of device, the same number of threads, and the same versions"
        super().__init__(
            f"audit: {problem}; rolling back to the last checkpoint at or before step {trusted}",
            remedy,
        )
        self.exit_code = 1 if mine else EXIT_LOST


class Auditor:
    """Audits one rank's part of a run. Every rank calls the same methods in the same order.

    What is compared is the gradient of the first micro-batch, as it enters the exchange: computed by its
    rank, and by the one before it from rows that it read itself. Where they differ all ranks compute it
    again, and those that differ from the majority, at either time, are the culprits.

    Attributes:
        passed, seconds: the number of audits that passed, and the time that they took.
        step: this rank's, of the current phase.

    Args:
        fence: under which a finding is recorded, on the chief.
    """

    def __init__(
        self,
        plan: RunPlan,
        distribution: Distribution,
        data: RankData,
        step: TrainStep,
        progress: Progress,
        fence: Fence | None,
        metrics: RunMetrics,
    ) -> None:
        self.passed, self.seconds = 0, 0.0
        self._plan, self._distribution, self._data, self.step = plan, distribution, data, step
        self._progress, self._fence, self._metrics = progress, fence, metrics
        self._target = audited_by(distribution.rank, distribution.size)
        self._batches: BatchStream | None = None
        self._sum = tf.function(
            digest, jit_compile=True, autograph=False
        )  # uncompiled it takes several times the memory

    def due(self, number: int) -> bool:
        """Whether step `number`, counted from 0, is audited: the last of each K, and of the run."""
        every = self._plan.config.train.audit
        return every is not None and ((number + 1) % every == 0 or number + 1 == self._plan.total_steps)

    def check(self, number: int, flat: tf.Tensor) -> None:
        """Compares `flat`, what this rank computed in step `number`, before the step assigns anything.

        Raises Corrupted where ranks differ, RankLost where one is gone.
        """
        began = time.perf_counter()
        if self._batches is None:
            self._batches = self._data.batches_of_rank(self._target, self._steps(number))
        batch = next(self._batches)
        assert int(batch.number) == number
        digests, checked = self._exchanged(
            self._digest(flat), self._digest_of_rank(number, self._target, batch[1:])
        )
        targets, seconds = disputed(digests, checked), time.perf_counter() - began
        self._metrics.audit("failed" if targets else "passed", seconds)
        if targets:
            self._dispute(number, digests, checked, targets)
        self.passed += 1
        self.seconds += seconds

    def close(self) -> None:
        if self._batches is not None:
            self._batches.close()

    def _steps(self, first: int) -> Iterator[int]:
        return (number for number in range(first, self._plan.total_steps) if self.due(number))

    def _digest_of_rank(self, number: int, rank: int, batch: tuple[tf.Tensor, ...]) -> int:
        lanes = self._plan.lanes_of(rank, self._distribution.size)
        return self._digest(self.step.first_part(number, *batch, first_lane=lanes.start))

    def _digest(self, flat: tf.Tensor) -> int:
        """The digest of all values but the vote, as an unsigned number."""
        return int(self._sum(flat[:-1])) % (1 << 64)

    def _exchanged(self, *digests: int) -> list[list[int]]:
        """The digests of all ranks, for each of `digests`."""
        halves = np.array([(value // _HALF, value % _HALF) for value in digests], np.float64)
        all_halves = self._gathered(halves.reshape(-1)).reshape(-1, len(digests), 2)
        return [[int(high) * _HALF + int(low) for high, low in all_halves[:, i]] for i in range(len(digests))]

    def _gathered(self, mine: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) of each rank -> (ranks, n)."""
        table = np.zeros((self._distribution.size, mine.size))
        table[self._distribution.rank] = mine
        return self._distribution.sum(table.reshape(-1)).reshape(table.shape)

    def _dispute(self, number: int, digests: list[int], checked: list[int], targets: list[int]) -> None:
        again = {}
        for target in targets:
            with self._data.batches_of_rank(target, iter([number])) as batches:
                [again[target]] = self._exchanged(self._digest_of_rank(number, target, next(batches)[1:]))
        verdict = judge_audit(digests, checked, again)
        devices = self._devices()
        finding = AuditFinding(
            step=number,
            trusted=self._progress.audited or 0,
            generation=self._fence.number if self._fence else 0,
            culprits=tuple(devices[rank] for rank in verdict.culprits),
            certain=verdict.certain,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        if self._fence:
            add_finding(self._fence, finding)
        self._distribution.barrier()  # no rank leaves, and has the others killed, before that is done
        raise Corrupted(finding, mine=self._distribution.rank in verdict.culprits)

    def _devices(self) -> list[str]:
        mine = describe_device().encode()[:_DEVICE_BYTES].ljust(_DEVICE_BYTES)
        rows = self._gathered(np.frombuffer(mine, np.uint8).astype(np.float64))
        return [row.astype(np.uint8).tobytes().decode(errors="replace").strip() for row in rows]
