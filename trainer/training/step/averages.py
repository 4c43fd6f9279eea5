"""The moving averages that an optimizer with `use_ema` keeps of the weights it trains."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def averaged(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """In it the network has the averages; afterwards, to the bit, the weights that it was trained to."""
    trained = [(variable, variable.numpy()) for variable, _ in _pairs(optimizer)]
    assign_averages(optimizer)
    try:
        yield
    finally:
        for variable, array in trained:
            variable.assign(array)


def assign_averages(optimizer: keras.optimizers.Optimizer) -> None:
    """Gives the network the averages as Keras's `fit` does at its end; nothing without `use_ema`."""
    for variable, average in _pairs(optimizer):
        variable.assign(average.numpy())


def _pairs(optimizer: keras.optimizers.Optimizer) -> list[tuple[keras.Variable, keras.Variable]]:
    """Each trained variable and its average; none before the first update, when the averages are zeros."""
    own = getattr(optimizer, "inner_optimizer", optimizer)
    if not own.use_ema or not int(own._iterations.numpy()):
        return []
    return list(zip(own._trainable_variables, own._model_variables_moving_average, strict=True))
