"""The network and its optimizer, from the configuration: what Keras rejects is a ConfigError."""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer import models
from trainer.config import RunConfig
from trainer.config.phases import TrainingPhase
from trainer.config.sections import TrainSection
from trainer.errors import ConfigError, shortened
from trainer.machine.memory import available_memory
from trainer.models.freeze import freeze, rate_factors
from trainer.models.trial import check_export, check_forward, check_grouped, check_synchronized
from trainer.training.run_plan import RunPlan
from trainer.training.run_state import weights
from trainer.training.setup.determinism import enable_determinism
from trainer.training.setup.first_rows import first_rows
from trainer.training.step.layer_rates import with_layer_rates

TRIED_IMAGES = 2
"""Images with which a network is tried: few, since a large one takes a CPU seconds for each."""
SCALED = "loss_scale_optimizer"
"""The name that Keras gives to its first LossScaleOptimizer."""
_REFUSALS = (ValueError, TypeError, ArithmeticError, MemoryError, tf.errors.OpError)
"""What Keras and TensorFlow raise for arguments that they do not take."""


@dataclass(frozen=True)
class Footprint:
    """What a network needs on one rank.

    Attributes:
        parameters: all of them.
        trained: of each phase, without the frozen ones and the statistics.
        step_bytes: an estimate of the memory of a step of the phase that trains most: weights, four times the
            trained ones (gradients and their exchange; eight times in an exact run), the optimizer's state,
            two copies of every layer's output for the images that are computed at once, and three batches of
            images.
        made_of: the SHA-256 of its configuration, with the constants in it.
    """

    parameters: int
    trained: tuple[int, ...]
    step_bytes: int
    made_of: str


def setup_tensorflow(config: RunConfig) -> None:
    """Threads, memory of GPUs as it is needed, and determinism where it is asked for.

    Raises ConfigError where TensorFlow has begun with another number of threads.
    """
    _set_threads(config.train.threads)
    for gpu in tf.config.list_physical_devices("GPU"):
        with suppress(RuntimeError):  # TensorFlow is in use already, as in a notebook
            tf.config.experimental.set_memory_growth(gpu, True)
    if config.train.deterministic:
        enable_determinism(xla=uses_xla(config.train))


def _set_threads(threads: int | None) -> None:
    """Sets the threads of an operation; None leaves them to the environment."""
    if threads is None:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError:
        raise ConfigError(
            f"train.threads: expected {threads}, and TensorFlow runs in this process with another number",
            "Train before anything else uses TensorFlow, or in a process of its own",
        ) from None


def uses_xla(train: TrainSection) -> bool:
    """Whether steps are compiled on this machine."""
    if train.xla == "auto":
        return not train.deterministic and bool(tf.config.list_physical_devices("GPU"))
    return train.xla == "on"


def build(
    plan: RunPlan,
    needed: Footprint | None = None,
    *,
    scope: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> tuple[keras.Model, keras.optimizers.Optimizer]:
    """The network and its optimizer, with the weights that the seed gives.

    `needed` is its footprint, where that is known. They are made in `scope`, the distribution's, which may
    not be entered yet: what Keras knows of earlier networks is forgotten first.

    Raises ConfigError for what Keras refuses, where a step needs far more memory than there is, and for a
    network of the user's own that cannot be trained or exported, as the first training images show.
    """
    needed = needed or footprint(plan)
    _check_memory(needed)
    _begin(plan.config.train)
    with scope():
        model = _network(plan)
        _check_values(model, plan.config.model.name)
        if models.is_own(plan.config.model.name) and _made_of(model) != needed.made_of:
            raise ConfigError(
                f"model.name: {plan.config.model.name} returns a different network at each call",
                "Draw from numpy.random or random, which have a seed; make no generator without a seed",
            )
        optimizer = compile_phase(plan, model, plan.phases[0])
    weights(model)  # each has a name of its own
    check_synchronized(model, plan.config, plan.ranks)
    own = models.is_own(plan.config.model.name)
    images = first_rows(plan, "train", TRIED_IMAGES).images if own else None
    for phase in reversed(plan.phases):  # the network stays in the first one
        freeze(model, phase.freeze, phase.key)
        check_grouped(model, plan.config)
        if images is not None:
            _try_forward(plan.config, model, images)
    if images is not None:
        _try_export(plan.config, model, images)
    return model, optimizer


def compile_phase(
    plan: RunPlan, model: keras.Model, phase: TrainingPhase, name: str | None = None
) -> keras.optimizers.Optimizer:
    """Freezes the layers of a phase, and compiles the network with an optimizer of its own, as Keras's guide
    to transfer learning does: all of its state is new. In the distribution's scope.

    `name` is that of the optimizer: the one before has it too, since a state names its arrays by it.
    """
    freeze(model, phase.freeze, phase.key)
    train = plan.config.train
    optimizer = _optimizer(train, phase.learning_rate, name, rate_factors(model, train.layer_rates))
    with refusals(_described(train), "train.optimizer"):
        model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", jit_compile=False)
        optimizer.build(model.trainable_variables)
    return optimizer


def _try_forward(config: RunConfig, model: keras.Model, images: tf.Tensor) -> None:
    """Raises ConfigError for a network that cannot be trained."""
    with refusals(f"model.name: {config.model.name}", "the network"):
        check_forward(model, config.model.name, images)


def _try_export(config: RunConfig, model: keras.Model, images: tf.Tensor) -> None:
    """Raises ConfigError for a network that cannot be exported."""
    with refusals(f"model.name: {config.model.name}", "the network"):
        check_export(model, config.model.name, images)


def footprint(plan: RunPlan) -> Footprint:
    """What the network needs, found out without memory for its weights. Raises ConfigError as `build`."""
    models.builder_of(plan.config.model.name)  # a module of the user's own may make layers: these have values
    _begin(plan.config.train)
    model = _build_shapes(plan)
    trained = tuple(_trained(model, phase) for phase in plan.phases)
    freeze(model, plan.phases[0].freeze, plan.phases[0].key)
    outputs = sum(
        math.prod(side or 1 for side in tensor.shape[1:])  # an unknown side counts as 1
        for layer in model.layers
        for tensor in keras.tree.flatten(layer.output)
    )
    optimizer = _optimizer(plan.config.train)
    with refusals(_described(plan.config.train), "train.optimizer"):
        optimizer.build([keras.Variable(np.zeros(1, np.float32))])
    slots = sum(v.shape == (1,) for v in optimizer.variables)
    width = 4 if plan.config.train.precision == "float32" else 2
    batches = 3 * -(-plan.config.train.batch_size // plan.ranks) * math.prod(plan.image_shape)
    parameters = model.count_params()
    exchanged = 8 if plan.config.train.exact else 4  # of them: gradients and their exchange
    arrays = 4 * (parameters + (exchanged + slots) * max(trained) + batches)
    step_bytes = arrays + 2 * width * plan.micro_rows * outputs
    return Footprint(parameters, trained, step_bytes, _made_of(model))


def _trained(model: keras.Model, phase: TrainingPhase) -> int:
    freeze(model, phase.freeze, phase.key)
    return sum(math.prod(v.shape) for v in model.trainable_variables)


def _made_of(model: keras.Model) -> str:
    described = keras.saving.serialize_keras_object(model)
    text = json.dumps(described, sort_keys=True, default=lambda value: type(value).__name__)
    text = re.sub(r'"shared_object_id": \d+', "", text)  # a place in memory
    return hashlib.sha256(text.encode()).hexdigest()


def _begin(train: TrainSection) -> None:
    keras.utils.clear_session()  # layers are named the same in every process
    keras.utils.set_random_seed(train.seed)
    keras.config.set_dtype_policy(train.precision)


def _build_shapes(plan: RunPlan) -> keras.Model:
    """The network with variables that have shapes and no values; with values where a function of the user's
    own needs them, as one that compiles or fits its model."""
    try:
        with keras.StatelessScope(initialize_variables=False):
            return _network(plan)
    except ConfigError:
        if not models.is_own(plan.config.model.name):
            raise
    _begin(plan.config.train)
    return _network(plan)


def _network(plan: RunPlan) -> keras.Model:
    config = plan.config
    options = "".join(f", {name}={value}" for name, value in config.model.options.items())
    description = f"model: {config.model.name}{options} for images of {'x'.join(map(str, plan.image_shape))}"
    with refusals(description, "model.options or data.image_size"):
        classes = len(plan.dataset.classes)
        model = models.network_for(config, plan.image_shape, classes)
    freeze(model, plan.phases[0].freeze, plan.phases[0].key)
    return model


def _check_values(model: keras.Model, name: str) -> None:
    """Raises ConfigError for weights that were made as the network was built for its footprint."""
    for variable in model.variables:
        if not isinstance(variable.value, tf.Variable):
            raise ConfigError(
                f"model.name: {name} returns a network with weights of a previous one ({variable.path})",
                "Make new layers at each call",
            )


def _optimizer(
    train: TrainSection,
    learning_rate: float | None = None,
    name: str | None = None,
    factors: Sequence[float] = (),
) -> keras.optimizers.Optimizer:
    """The optimizer, not yet built: with another learning rate than the section's, where one is given, the
    name of an earlier one, and factors of its variables' rates."""
    arguments = train.optimizer.model_dump(exclude={"name"})
    if learning_rate is not None:
        arguments["learning_rate"] = learning_rate
    if name is not None:
        arguments["name"] = name
    with refusals(_described(train), "train.optimizer"):
        optimizer = keras.optimizers.get({"class_name": train.optimizer.name, "config": arguments})
    optimizer = with_layer_rates(optimizer, factors)
    if train.precision != "mixed_float16":
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer, name=SCALED)


def _described(train: TrainSection) -> str:
    arguments = train.optimizer.model_dump(exclude={"name"})
    text = ", ".join(f"{name}={value}" for name, value in arguments.items())
    return f"train.optimizer: {train.optimizer.name} with {text}"


@contextmanager
def refusals(subject: str, keys: str) -> Iterator[None]:
    """Raises what Keras and TensorFlow reject of `subject` as a ConfigError that names the keys to change."""
    try:
        yield
    except _REFUSALS as error:
        message = re.sub(r"\x1b\[\d*m", "", str(error)).partition("Arguments received by")[0]
        message = shortened(" ".join(message.split()).rstrip(".")) or type(error).__name__
        raise ConfigError(f"{subject}: rejected by Keras: {message}", f"Change {keys}") from error


def _check_memory(needed: Footprint) -> None:
    """Refuses what the kernel would kill; on GPUs their memory counts, which TensorFlow itself reports."""
    available = available_memory()
    if needed.step_bytes > 2 * available and not tf.config.list_physical_devices("GPU"):
        raise ConfigError(
            f"a step needs about {needed.step_bytes / 2**30:,.0f} GiB of memory for {needed.parameters:,} "
            f"parameters, and {available / 2**30:,.0f} GiB are available",
            "Lower model.options, data.image_size, train.micro_batch or train.batch_size",
        )
