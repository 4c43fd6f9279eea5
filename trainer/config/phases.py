"""The phases of a run: what is frozen in each of them, and how it learns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pydantic import Field

from trainer.config.types import Freeze, Section
from trainer.output.units import plural

Schedule = Literal["constant", "cosine", "inverse_time"]


class PhaseSection(Section):
    """A list of phases, one after the other: each is a `compile` and a `fit` of its own, as in Keras's guide
    to transfer learning. What a phase does not set is that of the run."""

    epochs: int = Field(ge=1, le=1_000_000, description="epochs of the phase")
    freeze: Freeze | None = Field(None, description="as model.freeze, which is the default")
    learning_rate: float | None = Field(
        None, gt=0, le=3.4e38, description="at its beginning; default: train.optimizer.learning_rate"
    )
    warmup_epochs: float | None = Field(
        None, ge=0, le=1_000_000, description="at its beginning; default: train.warmup_epochs"
    )
    schedule: Schedule | None = Field(
        None, description="from its beginning to its end; default: train.schedule"
    )
    decay: float | None = Field(None, ge=0, le=1, description="default: train.decay")


@dataclass(frozen=True)
class TrainingPhase:
    """A phase with every value. A run without `train.phases` is a single one.

    Attributes:
        number, count: it is the `number`-th of `count` phases, counted from 1.
        first_epoch: counted from 0, where no phase before it stopped early.
        listed: whether `train.phases` names it.
    """

    number: int
    count: int
    first_epoch: int
    epochs: int
    freeze: str | Sequence[str]
    learning_rate: float
    warmup_epochs: float
    schedule: Schedule
    decay: float
    listed: bool

    @property
    def section(self) -> str:
        """The part of the configuration that it is made of."""
        return f"train.phases[{self.number - 1}]" if self.listed else "train"

    @property
    def key(self) -> str:
        """The key that says what is frozen."""
        return f"{self.section}.freeze" if self.listed else "model.freeze"

    def describe(self) -> str:
        """ "phase 2 of 2, 10 epochs: all layers, learning rate 0.0001"."""
        return (
            f"{self.name}, {plural(self.epochs, 'epoch')}: {self.describe_layers()}, {self.describe_rate()}"
        )

    @property
    def name(self) -> str:
        """ "phase 2 of 2"."""
        return f"phase {self.number} of {self.count}"

    def describe_layers(self) -> str:
        """ "all layers", or "backbone frozen"."""
        names = [self.freeze] if isinstance(self.freeze, str) else self.freeze
        frozen = ", ".join(name for name in names if name != "none")
        return f"{frozen} frozen" if frozen else "all layers"

    def describe_rate(self) -> str:
        """ "learning rate 0.001, cosine, 0.5 epochs of warm-up"."""
        schedule = "" if self.schedule == "constant" else f", {self.schedule}"
        warmup = f", {self.warmup_epochs:g} epochs of warm-up" if self.warmup_epochs else ""
        return f"learning rate {self.learning_rate:g}{schedule}{warmup}"


class OptimizerValues(Protocol):
    """The section `train.optimizer`."""

    @property
    def learning_rate(self) -> float: ...


class TrainValues(Protocol):
    """The section `train`: its phases, and what they do not set."""

    @property
    def phases(self) -> list[PhaseSection] | None: ...
    @property
    def epochs(self) -> int: ...
    @property
    def optimizer(self) -> OptimizerValues: ...
    @property
    def warmup_epochs(self) -> float: ...
    @property
    def schedule(self) -> Schedule: ...
    @property
    def decay(self) -> float: ...


def phases_of(train: TrainValues, freeze: str | Sequence[str]) -> tuple[TrainingPhase, ...]:
    """The phases of a run, at least one; `freeze` is its model.freeze."""
    sections = train.phases or [PhaseSection(epochs=train.epochs)]
    found, first = [], 0
    for number, section in enumerate(sections, 1):
        phase = TrainingPhase(
            number=number,
            count=len(sections),
            first_epoch=first,
            epochs=section.epochs,
            freeze=_either(section.freeze, freeze),
            learning_rate=_either(section.learning_rate, train.optimizer.learning_rate),
            warmup_epochs=_either(section.warmup_epochs, train.warmup_epochs),
            schedule=_either(section.schedule, train.schedule),
            decay=_either(section.decay, train.decay),
            listed=train.phases is not None,
        )
        found.append(phase)
        first += section.epochs
    return tuple(found)


def with_epochs_of_phases(train: dict[str, Any]) -> dict[str, Any]:
    """`train` as it was given; its epochs are those of its phases, where it names none."""
    phases = train.get("phases")
    if "epochs" in train or not phases or not isinstance(phases, list):
        return train
    epochs = [phase.get("epochs") if isinstance(phase, dict) else None for phase in phases]
    whole = [number for number in epochs if type(number) is int]
    return train | {"epochs": sum(whole)} if len(whole) == len(epochs) else train


def check_phases(train: TrainValues, phases: Sequence[TrainingPhase]) -> None:
    """Raises ValueError for phases that do not fit the run's epochs, or each other."""
    epochs = [phase.epochs for phase in phases]
    if sum(epochs) != train.epochs:
        raise ValueError(
            f"train.phases: expected epochs that add up to the {train.epochs} of train.epochs, received "
            f"{' + '.join(map(str, epochs))} = {sum(epochs)}: set train.epochs: {sum(epochs)}"
        )
    for phase in phases:
        key = phase.section
        if phase.warmup_epochs >= phase.epochs:
            raise ValueError(
                f"{key}.warmup_epochs: expected less than the {phase.epochs} of {key}.epochs, "
                f"received {phase.warmup_epochs}"
            )
        if (phase.schedule == "inverse_time") != (phase.decay > 0):
            raise ValueError(
                f"{key}.decay: expected above 0 with {key}.schedule inverse_time and 0 with others, received "
                f"{phase.decay} with {phase.schedule}"
            )


def epochs_to_train(planned: Sequence[int], ended: Sequence[int]) -> int:
    """The epochs of a run with phases of `planned` epochs, of which the first have ended after `ended`: early
    stopping ends a phase."""
    return sum(ended) + sum(planned[len(ended) :])


def phase_of_epoch(trained: Sequence[int], epoch: int) -> int:
    """The phase of an epoch, both counted from 0; `trained`: the epochs that each phase has trained."""
    first = 0
    for number, epochs in enumerate(trained):
        first += epochs
        if epoch < first:
            return number
    return max(len(trained) - 1, 0)


def _either(own: Any, default: Any) -> Any:
    return default if own is None else own
