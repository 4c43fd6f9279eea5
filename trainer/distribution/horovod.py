"""Ranks over Horovod's core: its operations alone, since its Keras layer is a silent no-op on Keras 3."""

from collections.abc import Callable
from typing import Any

import horovod.tensorflow as hvd
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.config import is_op_determinism_enabled

from trainer.distribution.lost_rank import LOST, lost_peer
from trainer.distribution.meeting import meet
from trainer.distribution.rank_status import Phase, report_phase
from trainer.distribution.single import LATER, OneReplica

BROADCAST_PART_BYTES = 256 << 20
"""Bytes of one broadcast. Gloo ends the process (SIGABRT) at 2 GiB, more than Linux takes in one writev."""


class Horovod(OneReplica):
    """The ranks that the HOROVOD_* environment names.

    The loss of a rank raises `RankLost` in the host calls and one of `LOST` in a step. Raises TransientError
    if the others do not appear, or `stopping` becomes true.
    """

    def __init__(self, stopping: Callable[[], bool] = lambda: False) -> None:
        with tf.device("CPU:0"):
            self._began = tf.Variable(0.0, trainable=False, dtype=tf.float64)
        report_phase(Phase.MEETING)
        meet(stopping=stopping)
        report_phase(Phase.LOADING)
        hvd.init()
        self.size: int = hvd.size()
        self.rank: int = hvd.rank()

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
