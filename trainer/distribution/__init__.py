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

    A rank's work is that of its replicas: one of them, or the GPUs of a pod (see `Mirrored`).
    """

    size: int
    rank: int
    replicas: int

    @property
    def is_chief(self) -> bool:
        """The rank that alone has side effects."""
        ...

    def exchange(self, flat: Any, name: str = "exchange") -> Any:
        """A flat `tf.Tensor` -> its sum over the ranks, in or out of a `tf.function`; `name` tells one of
        several exchanges of a step from the others."""
        ...

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Host values (n,) -> their sum over the ranks."""
        ...

    def broadcast_bytes(self, data: bytes) -> bytes:
        """The chief's bytes, of any length."""
        ...

    def barrier(self) -> None: ...

    def scope(self) -> AbstractContextManager[Any]:
        """In which the network and its optimizer are made, and nothing else is done with them."""
        ...

    def spread(self, rows: Any) -> Any:
        """(n * replicas, ...) -> n rows for each replica, in order."""
        ...

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls it on each replica, with that replica's part of each argument."""
        ...

    def parts(self, value: Any) -> tuple[Any, ...]:
        """What each replica returned."""
        ...

    def total(self, value: Any) -> Any:
        """The sum of what the replicas returned, on the first one's device."""
        ...


def connect(stopping: Callable[[], bool] = lambda: False, *, replicas: int = 1) -> Distribution:
    """The distribution that this process's environment describes, or several replicas in this process.

    Raises Interrupted when other ranks do not come, or `stopping` becomes true while they are waited for;
    ConfigError where Horovod was installed without being compiled for TensorFlow, as plain pip does it, and
    for more replicas than GPUs.
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
                "several ranks need a Horovod compiled for TensorFlow, which the installed one is not",
                "scripts/env compiles it, as Dockerfile.gpu does; one rank does without: --ranks 1",
            ) from None
        return Horovod(stopping)
    from trainer.distribution.single import Single

    return Single()
