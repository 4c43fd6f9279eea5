"""Ranks over Horovod's core: its operations alone, since its Keras layer is a silent no-op on Keras 3."""

import logging
import os
from collections.abc import Callable
from typing import Any

import horovod.tensorflow as hvd
import numpy as np
import tensorflow as tf
from horovod.common.exceptions import HorovodInternalError
from numpy.typing import NDArray
from tensorflow.python.framework.config import is_op_determinism_enabled

from trainer.distribution import rank_variables
from trainer.distribution.lost_rank import LOST, lost_peer
from trainer.distribution.meeting import meet
from trainer.distribution.places import places
from trainer.distribution.rank_status import Phase, report_phase
from trainer.distribution.rank_variables import FUSION_THRESHOLD
from trainer.distribution.single import LATER, OneReplica
from trainer.errors import RankLost, one_line

log = logging.getLogger(__name__)

BROADCAST_PART_BYTES = 256 << 20
"""Bytes of one broadcast. Gloo ends the process (SIGABRT) at 2 GiB, more than Linux takes in one writev."""

LONG_WAIT_SECONDS = 10.0
"""Seconds that a rank holds its state in memory alone, before the chief saves it."""


class Horovod(OneReplica):
    """The ranks that the HOROVOD_* environment names.

    The loss of a rank raises `RankLost` in the host calls and one of `LOST` in a step. Raises TransientError
    if the others do not appear, or `stopping` becomes true; RankLost if one is lost before all have met.
    """

    def __init__(self, stopping: Callable[[], bool] = lambda: False) -> None:
        with tf.device("CPU:0"):
            self._began = tf.Variable(0.0, trainable=False, dtype=tf.float64)
        self.size, self.rank = rank_variables.size(), rank_variables.rank()
        self._stopping = stopping
        self._started = self._failed = False
        places().take()
        while not self.join():
            if not self.hold(lambda: None):
                raise RankLost("another rank was lost while the ranks met")

    @property
    def can_rejoin(self) -> bool:
        return places().can_change and not self._failed

    def hold(self, long_wait: Callable[[], None]) -> bool:
        if not self.can_rejoin:
            return False
        report_phase(Phase.LEAVING)
        hvd.shutdown()
        report_phase(Phase.HOLDING)
        return places().wait(self._stopping, LONG_WAIT_SECONDS, long_wait)

    def join(self, met: Callable[[], None] = lambda: None) -> bool:
        report_phase(Phase.MEETING)
        try:
            meet(stopping=self._stopping)
        except RankLost:
            return False
        met()
        report_phase(Phase.JOINING)
        if places().can_change:
            # Horovod's second start in a process crashes where this and the cycle time are both set. It joins
            # tensors that are ready together, and we exchange one of a type at a time.
            os.environ.pop(FUSION_THRESHOLD, None)
        try:
            hvd.init()
        except (RuntimeError, ValueError, HorovodInternalError) as error:
            if not self._started:
                raise
            log.warning("rank %d could not connect to the others: %s", rank_variables.rank(), one_line(error))
            self._failed = True  # Horovod starts once more in a new process only
            return False
        self.size, self.rank = hvd.size(), hvd.rank()
        self._started = True
        return True

    @property
    def is_chief(self) -> bool:
        return self.rank == 0

    def exchange(self, flat: tf.Tensor, name: str = "exchange") -> tf.Tensor:
        if name != LATER and not is_op_determinism_enabled():  # TensorFlow then refuses to tell the time
            with tf.control_dependencies([flat]):
                self._began.assign(tf.timestamp())
        return hvd.allreduce(flat, op=hvd.Sum, name=name)

    def exchange_began(self) -> float | None:
        return None if is_op_determinism_enabled() else float(self._began)

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        total = self._collective(lambda: hvd.allreduce(tf.constant(values), op=hvd.Sum, name="sum"))
        return np.asarray(total)

    def broadcast_bytes(self, data: bytes, root: int = 0) -> bytes:
        length = int(self._broadcast(np.array([len(data)], np.int64), root)[0])
        if self.rank == root:
            for start in range(0, length, BROADCAST_PART_BYTES):
                self._broadcast(
                    np.frombuffer(data, np.uint8, min(BROADCAST_PART_BYTES, length - start), start), root
                )
            return data
        whole = np.empty(length, np.uint8)
        for start in range(0, length, BROADCAST_PART_BYTES):
            whole[start : start + BROADCAST_PART_BYTES] = self._broadcast(
                np.zeros(min(BROADCAST_PART_BYTES, length - start), np.uint8), root
            )
        return whole.tobytes()

    def barrier(self) -> None:
        self.sum(np.zeros(1))

    def _broadcast(self, array: NDArray[Any], root: int) -> NDArray[Any]:
        sent = tf.constant(np.atleast_1d(array))
        return np.asarray(self._collective(lambda: hvd.broadcast(sent, root, name="broadcast"))).reshape(
            array.shape
        )

    @staticmethod
    def _collective(call: Any) -> Any:
        try:
            return call().numpy()
        except LOST as error:
            raise lost_peer(error) from None
