"""What a run does in its first minutes, with a few images: a step, a validation batch, the export."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import keras

from trainer.dataset.pipeline.stream import TensorBatch
from trainer.distribution import Distribution
from trainer.models.trial import check_export, check_forward
from trainer.training.data import RankData
from trainer.training.finite import Diverged, check_weights
from trainer.training.run_plan import RunPlan
from trainer.training.setup.build_network import refusals
from trainer.training.setup.first_rows import first_rows
from trainer.training.setup.network_steps import TrainedNetwork
from trainer.training.step import TrainStep

STEP_IMAGES = 8
"""Images of a tried step, at most: with fewer, what a step takes says little about a larger one."""


@dataclass(frozen=True)
class TriedOut:
    """What was tried.

    Attributes:
        seconds: what it was -> seconds, with compilation.
        trained: seconds for each image of a step, of each phase, once it is compiled.
        validated: the same of a validation.
    """

    seconds: dict[str, float]
    trained: tuple[float, ...]
    validated: float


def try_out(
    plan: RunPlan, distribution: Distribution, model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> TriedOut:
    """Tries it. The weights are those after two steps of each phase then.

    Raises ConfigError for a network that cannot be trained or exported, Diverged where the step is not
    finite.
    """
    seconds: dict[str, float] = {}
    name = plan.config.model.name
    few = _few(plan, distribution.replicas)
    rows = few.config.train.batch_size
    with _timed("reading", seconds):
        trained = first_rows(few, "train", rows)
        validated = first_rows(few, "validation" if few.split("validation") else "train", rows)
    with _timed("forward pass", seconds), refusals(f"model.name: {name}", "the network"):
        check_forward(model, name, trained.images)
    with _timed("export", seconds), refusals(f"model.name: {name}", "the network"):
        check_export(model, name, trained.images)
    with refusals(f"model.name: {name}, a step", "the network, train.precision or train.xla"):
        network, data = TrainedNetwork(model, optimizer), RankData(few, distribution)
        steps = []
        with _timed("step", seconds):
            for phase in range(len(few.phases)):
                network.enter(few, distribution, phase)
                steps.append(_two_steps(network.steps(few, distribution, data)[0], trained) / rows)
            check_weights(model)
        _, evaluation = network.steps(few, distribution, data)
        for part in ("validation", "validation again"):
            with _timed(part, seconds):
                # Its loss may be infinite: batch norms have seen one batch.
                evaluation(validated.images, validated.labels, validated.weights)
    return TriedOut(seconds, tuple(steps), seconds.pop("validation again") / rows)


def _two_steps(step: TrainStep, batch: TensorBatch) -> float:
    """The second has the loss of weights that the first has changed -> its seconds. Raises Diverged."""
    began = 0.0
    for number in range(2):
        began = time.monotonic()
        done = step(number, batch.images, batch.labels, batch.weights, False)
        if not step.read(done).finite:
            raise Diverged("gradients, statistics or loss of two steps on the first images are not finite")
    return time.monotonic() - began


def _few(plan: RunPlan, replicas: int) -> RunPlan:
    """`plan` with a batch of a few lanes of one row, which one rank and its replicas compute at once."""
    each = max(1, min(STEP_IMAGES, plan.micro_rows, plan.config.train.batch_size // replicas))
    rows = each * replicas
    sizes = {"batch_size": rows, "lanes": rows, "micro_batch": each}
    train = plan.config.train.model_copy(update=sizes)
    config = plan.config.model_copy(update={"train": train})
    return replace(plan, config=config, ranks=replicas, lanes=rows, micro_lanes=each, micro_rows=each)


@contextmanager
def _timed(part: str, seconds: dict[str, float]) -> Iterator[None]:
    began = time.monotonic()
    yield
    seconds[part] = time.monotonic() - began
