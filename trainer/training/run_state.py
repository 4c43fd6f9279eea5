"""The state of a run between two steps: captured from model, optimizer and callbacks, and assigned back."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from trainer.checkpoints.training_state import TrainingState
from trainer.errors import DataError, RunError
from trainer.training.callbacks import callback_state
from trainer.training.finite import check_array
from trainer.training.step import Sums, seed_variables


@dataclass
class Progress:
    """Where a run is: `step` steps are done; `epochs_closed` epochs had their validation and callbacks.

    `audited`: how many steps were done when an audit passed last; None where there is none.
    `exponents`: of an exact run's next step, see `ExactStep`; None in others, and before the first step of a
    phase.
    `phases`: the epochs of each phase that has ended; none in the first one.
    """

    step: int = 0
    epochs_closed: int = 0
    sums: Sums = field(default_factory=Sums)
    history: list[dict[str, float]] = field(default_factory=list)
    stop_training: bool = False
    audited: int | None = None
    exponents: list[int] | None = None
    phases: list[int] = field(default_factory=list)

    @property
    def phase_epochs(self) -> int:
        """The epochs that the current phase has closed."""
        return self.epochs_closed - sum(self.phases)

    @property
    def phases_trained(self) -> tuple[int, ...]:
        """The epochs of each phase, the current one too."""
        return (*self.phases, self.phase_epochs)


_BESIDE = ("audited", "exponents", "phases")
"""What a state has beside the other values of `Progress`: older versions would not know it."""


def weights(model: keras.Model) -> dict[str, keras.Variable]:
    """A network's weights and statistics, as a state names them.

    Random generators are left out: their states are a function of (seed, step, lane).
    Raises DataError when two of them would have the same name.
    """
    seeds = {id(v) for v in seed_variables(model)}
    variables = [v for v in model.variables if id(v) not in seeds]
    return _distinct({f"model/{v.path}": v for v in variables}, len(variables))


def variables(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> dict[str, keras.Variable]:
    """The arrays of a state, by name: weights and statistics, then the optimizer's.

    Raises DataError when two of them would have the same name.
    """
    named = {f"optimizer/{v.path}": v for v in optimizer.variables}
    return weights(model) | _distinct(named, len(optimizer.variables)) | _untracked(optimizer)


def _untracked(optimizer: keras.optimizers.Optimizer) -> dict[str, keras.Variable]:
    """The state that an optimizer has beside its `variables`: within a LossScaleOptimizer Keras loses Nadam's
    `_u_product`, the product of its momenta."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    known = {id(v) for v in optimizer.variables}
    return {
        f"optimizer/{inner.name}/{name.lstrip('_')}": value
        for name, value in vars(inner).items()
        if isinstance(value, keras.Variable) and id(value) not in known
    }


def _distinct(named: dict[str, keras.Variable], expected: int) -> dict[str, keras.Variable]:
    if len(named) != expected:
        raise DataError(
            "two variables of the network have the same path", "Use different names for its layers"
        )
    return named


class _Live(Mapping[str, NDArray[Any]]):
    """Arrays, and variables as arrays of this moment: one at a time, so that no second copy of all is held.

    Raises Diverged where one is not finite.
    """

    def __init__(self, named: Mapping[str, keras.Variable | NDArray[Any]]) -> None:
        self._named = named

    def __getitem__(self, name: str) -> NDArray[Any]:
        value = self._named[name]
        array = value if isinstance(value, np.ndarray) else np.asarray(value.numpy())
        check_array(name, array)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)


def digest(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> str:
    """SHA-256 over every array of the state: equal on all ranks after every step."""
    total = hashlib.sha256()
    for name, variable in variables(model, optimizer).items():
        total.update(name.encode())
        total.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return total.hexdigest()


def capture(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    progress: Progress,
    callbacks: Iterable[keras.callbacks.Callback],
) -> TrainingState:
    """The state between two steps; its arrays are read as they are asked for."""
    remembered, arrays = callback_state.capture(callbacks)
    values = {"progress": asdict(progress), "callbacks": remembered}
    for name in _BESIDE:
        values[name] = values["progress"].pop(name)
    return TrainingState(progress.step, _Live({**variables(model, optimizer), **arrays}), values)


def assign(state: TrainingState, model: keras.Model, optimizer: keras.optimizers.Optimizer) -> Progress:
    """Puts a state's arrays into place; returns where the run was.

    Raises DataError, before anything is changed, when the state is of another network.
    """
    _assign(state, variables(model, optimizer))
    values = state.values["progress"]
    beside = {name: state.values[name] for name in _BESIDE if name in state.values}
    return Progress(**(values | {"sums": Sums(**values["sums"])} | beside))


def check_position(progress: Progress, steps_per_epoch: int) -> None:
    """Raises RunError for a position that is impossible with this many steps per epoch."""
    begin = progress.epochs_closed * steps_per_epoch
    if not begin <= progress.step <= begin + steps_per_epoch:
        raise RunError(
            f"the checkpoint has done {progress.step} steps and closed {progress.epochs_closed} epochs, of "
            f"{steps_per_epoch} steps each in this run",
            "Use the dataset and configuration that it was saved with, or a new run.url",
        )


def assign_weights(state: TrainingState, model: keras.Model) -> None:
    """Puts a state's weights and statistics into a network, as a run publishes them: moving averages where
    its optimizer keeps them. Raises DataError when they are of another network."""
    _assign(state, weights(model))
    optimizer = [name for name in state.arrays if name.startswith("optimizer/")]
    if not any(state.arrays[name] for name in optimizer if name.endswith("/iteration")):
        return  # before the first update the averages are zeros
    by_suffix = {name.rpartition("/")[2]: name for name in optimizer}
    for variable in model.weights:  # also those that another phase has frozen
        name = by_suffix.get(f"{variable.path.replace('/', '_')}_average")
        if name is not None:
            variable.assign(state.arrays[name])


def _assign(state: TrainingState, named: Mapping[str, keras.Variable]) -> None:
    for name, variable in named.items():
        array = state.arrays.get(name)
        if array is None or array.shape != tuple(variable.shape):
            received = "nothing" if array is None else str(array.shape)
            raise DataError(
                f"the checkpoint is of another network: expected {name} of shape {tuple(variable.shape)}, "
                f"received {received}",
                "Use the code and configuration that it was saved with, or a new run.url",
            )
    for name, variable in named.items():
        variable.assign(state.arrays[name])
