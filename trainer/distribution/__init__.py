"""A rank's side of distributed training: one interface over a single process and over Horovod's ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from trainer.distribution.environment import is_rank
from trainer.errors import ConfigError

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

    def broadcast_bytes(self, data: bytes) -> bytes:
        """The chief's bytes, of any length."""
        ...

    def barrier(self) -> None: ...


def connect(stopping: Callable[[], bool] = lambda: False) -> Distribution:
    """The distribution that this process's environment describes.

    Raises Interrupted when other ranks do not come, or `stopping` becomes true while they are waited for;
    ConfigError where Horovod was installed without being compiled for TensorFlow, as plain pip does it.
    """
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
