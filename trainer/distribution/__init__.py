"""A rank's side of distributed training: one interface over a single process and over Horovod's ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from trainer.distribution.environment import is_rank

if TYPE_CHECKING:  # a supervisor does without NumPy
    import numpy as np
    from numpy.typing import NDArray


class Distribution(Protocol):
    """The ranks of one generation. Every rank calls the same methods in the same order."""

    size: int
    rank: int

    @property
    def is_chief(self) -> bool:
        """The rank that alone has side effects."""
        ...

    def exchange(self, flat: Any) -> Any:
        """A flat float32 `tf.Tensor` -> its sum over the ranks, in or out of a `tf.function`."""
        ...

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Host values (n,) -> their sum over the ranks."""
        ...

    def broadcast(self, array: NDArray[Any]) -> NDArray[Any]:
        """The chief's array; the others' must have its shape and dtype."""
        ...

    def broadcast_bytes(self, data: bytes) -> bytes:
        """The chief's bytes, of any length."""
        ...

    def barrier(self) -> None: ...


def connect(stopping: Callable[[], bool] = lambda: False) -> Distribution:
    """The distribution that this process's environment describes.

    Raises Interrupted when other ranks do not come, or `stopping` becomes true while they are waited for.
    """
    if is_rank():
        from trainer.distribution.horovod import Horovod

        return Horovod(stopping)
    from trainer.distribution.single import Single

    return Single()
