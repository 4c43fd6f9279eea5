"""What plain Keras makes of a case: the same network, weights, batches and options, trained by `fit`, once
for each phase."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.config import RunConfig
from trainer.config.phases import TrainingPhase
from trainer.distribution.single import Single
from trainer.models.freeze import freeze
from trainer.models.starting_weights import load_starting_weights
from trainer.training.data import RankData
from trainer.training.run_plan import make_plan
from trainer.training.setup.build_network import build
from trainer.training.step import balanced_class_weights


def fitted(config: RunConfig) -> list[NDArray[np.float32]]:
    """The weights that `fit` ends with."""
    plan = make_plan(config, 1)
    model, _ = build(plan)
    if config.model.weights != "none":
        load_starting_weights(model, config.model.weights)
    classes = len(plan.dataset.classes)
    data = RankData(plan, Single())
    weights = None
    if config.train.class_weight == "balanced":
        counts = np.bincount(plan.dataset.split("train").labels, minlength=classes)
        weights = balanced_class_weights(counts)
    epochs = 0
    for phase in plan.phases:
        freeze(model, phase.freeze)
        model.compile(
            optimizer=_optimizer(config, phase, plan.steps_per_epoch),
            loss=keras.losses.CategoricalCrossentropy(label_smoothing=config.train.label_smoothing),
            metrics=["accuracy", keras.metrics.TopKCategoricalAccuracy(5, name="top5_accuracy")],
            jit_compile=False,
        )
        with data.training(epochs * plan.steps_per_epoch) as batches:
            done = model.fit(
                _batches(batches, classes, weights),
                initial_epoch=epochs,
                epochs=epochs + phase.epochs,
                steps_per_epoch=plan.steps_per_epoch,
                validation_data=_validation(data, plan, classes),
                validation_freq=config.train.validation_freq,
                callbacks=_callbacks(config, validated=plan.split("validation") is not None),
                shuffle=False,
                verbose=0,
            )
        epochs += len(done.epoch)
    return [np.asarray(value) for value in model.get_weights()]


def _batches(
    stream: Any, classes: int, weights: NDArray[np.float32] | None
) -> Iterator[tuple[tf.Tensor, ...]]:
    """Weights of classes are those of rows here: that is what `fit` makes of `class_weight`."""
    for _, images, labels, _ in stream:
        expected = tf.one_hot(labels, classes)
        yield (images, expected) if weights is None else (images, expected, tf.gather(weights, labels))


def _validation(data: RankData, plan: Any, classes: int) -> tuple[NDArray[Any], NDArray[Any]] | None:
    if plan.split("validation") is None:
        return None
    images, labels = [], []
    with data.evaluation("validation") as batches:
        for _, some, of_some, counted in batches:
            images.append(some.numpy()[counted.numpy() > 0])
            labels.append(of_some.numpy()[counted.numpy() > 0])
    return np.concatenate(images), keras.utils.to_categorical(np.concatenate(labels), classes)


def _callbacks(config: RunConfig, *, validated: bool) -> list[keras.callbacks.Callback]:
    """By their names, with the monitors that exist."""
    found: list[keras.callbacks.Callback] = []
    for section, kind in (
        (config.train.reduce_lr_on_plateau, keras.callbacks.ReduceLROnPlateau),
        (config.train.early_stopping, keras.callbacks.EarlyStopping),
    ):
        if section:
            given = section.model_dump()
            if not validated:
                given["monitor"] = given["monitor"].removeprefix("val_")
            given["mode"] = "max" if "acc" in given["monitor"] else "min"
            found.append(kind(**given))
    return found


def _optimizer(config: RunConfig, phase: TrainingPhase, steps: int) -> keras.optimizers.Optimizer:
    """The optimizer of a phase, with Keras's own schedule of the same name."""
    initial, total = phase.learning_rate, phase.epochs * steps
    rate: float | keras.optimizers.schedules.LearningRateSchedule = initial
    if phase.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(initial, total)
    elif phase.schedule == "inverse_time":
        rate = keras.optimizers.schedules.InverseTimeDecay(initial, 1, phase.decay)
    elif phase.warmup_epochs:
        warmup = round(phase.warmup_epochs * steps)
        rate = keras.optimizers.schedules.PolynomialDecay(initial / warmup, warmup - 1, initial)
    arguments = config.train.optimizer.model_dump(exclude={"name"}) | {"learning_rate": rate}
    return keras.optimizers.get({"class_name": config.train.optimizer.name, "config": arguments})
