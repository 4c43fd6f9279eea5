"""A rank's side of distributed training: one interface over a single process, the replicas of one process,
and Horovod's ranks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from trainer.distribution.rank_variables import is_rank
from trainer.errors import ConfigError

if TYPE_CHECKING:  # a supervisor does without NumPy
    import numpy as np
    from numpy.typing import NDArray


class Distribution(Protocol):
    """The ranks of one generation. Every rank calls the same methods in the same order.

    A rank has one replica, or one for each GPU of its pod (see `Mirrored`), which do its work.
    """

    size: int
    rank: int
    replicas: int

    @property
    def is_chief(self) -> bool:
        """Whether this is the only rank with side effects."""
        ...

    def exchange(self, flat: Any, name: str = "exchange") -> Any:
        """A flat `tf.Tensor` -> its sum over the ranks, in or out of a `tf.function`; `name` tells one of
        several exchanges of a step from the others; it is LATER for one that is not the first."""
        ...

    def exchange_began(self) -> float | None:
        """When the last step's exchange began here, which ends this rank's own part of the step, in seconds
        since the epoch; None without other ranks."""
        ...

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Host values (n,) -> their sum over the ranks."""
        ...

    def broadcast_bytes(self, data: bytes, root: int = 0) -> bytes:
        """The bytes of rank `root`, of any length."""
        ...

    def barrier(self) -> None: ...

    def scope(self) -> AbstractContextManager[Any]:
        """A context in which the network and its optimizer are created, and not used in any other way."""
        ...

    def spread(self, rows: Any) -> Any:
        """(n * replicas, ...) -> n rows for each replica, in order."""
        ...

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls the function on each replica, with that replica's part of each argument."""
        ...

    def parts(self, value: Any) -> tuple[Any, ...]:
        """The value of each replica."""
        ...

    def total(self, value: Any) -> Any:
        """The sum of the replicas' values, on the device of the first one."""
        ...


def connect(stopping: Callable[[], bool] = lambda: False, *, replicas: int = 1) -> Distribution:
    """The distribution that this process's environment describes, or several replicas in this process.

    Raises TransientError if other ranks do not appear, or `stopping` becomes true while waiting for them;
    ConfigError if Horovod is not compiled for TensorFlow, as when installed with plain pip, and for more
    replicas than GPUs.
    """
    if replicas > 1:
        from trainer.distribution.mirrored import Mirrored

        return Mirrored(replicas)
    if is_rank():
        try:
            from trainer.distribution.horovod import Horovod
        except ImportError as error:
            if "has not been built" not in str(error):
                raise
            raise ConfigError(
                "several ranks need Horovod, and the installed one is not compiled for TensorFlow",
                "Compile it with scripts/env, or use one rank: --ranks 1",
            ) from None
        return Horovod(stopping)
    from trainer.distribution.single import Single

    return Single()
