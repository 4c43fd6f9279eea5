"""The L2 penalty on the kernels of convolutions."""

from typing import Annotated

import keras
from pydantic import Field

L2 = Annotated[float, Field(ge=0, le=1)]
"""Its factor: the loss grows by it times the sum of the kernels' squares, as in keras.regularizers.L2."""


def penalty(factor: float) -> keras.regularizers.Regularizer | None:
    """None for a factor of 0."""
    return keras.regularizers.L2(factor) if factor else None
