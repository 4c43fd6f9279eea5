"""Optimizers whose learning rate differs between layers."""

from collections.abc import Sequence
from typing import Any

import keras


class _LayerRates(keras.optimizers.Optimizer):
    """Mixed into an optimizer of Keras's: each variable's update and weight decay use the learning rate times
    its factor. Clipping, moving averages and accumulation are the optimizer's own.

    Attributes:
        factors: of the variables that it is built for, in their order.
    """

    factors: tuple[float, ...] = ()
    _decaying = 1.0

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        factor = self.factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate if factor == 1 else learning_rate * factor)

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        for factor in sorted(set(self.factors)):
            self._decaying = factor
            alike = [v for v in variables if self.factors[self._get_variable_index(v)] == factor]
            super()._apply_weight_decay(alike)
        self._decaying = 1.0

    def _get_current_learning_rate(self) -> Any:
        rate = super()._get_current_learning_rate()
        return rate if self._decaying == 1 else rate * self._decaying


def with_layer_rates(
    optimizer: keras.optimizers.Optimizer, factors: Sequence[float]
) -> keras.optimizers.Optimizer:
    """The same optimizer, not yet built, with these factors of the variables that it will be built for."""
    if all(factor == 1 for factor in factors):
        return optimizer
    kind = type(optimizer)
    mixed: type[_LayerRates] = type(kind.__name__, (_LayerRates, kind), {})
    made = mixed.from_config(optimizer.get_config())
    made.factors = tuple(factors)
    return made
