"""What a configuration may say about an optimizer is what Keras takes."""

import inspect

import keras
import numpy as np
import pytest

from trainer.config.optimizers import ARGUMENTS
from trainer.training.run_state import variables

CLASSES = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "adagrad": "Adagrad"}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_arguments_are_keras_s_own(name: str):
    parameters = inspect.signature(getattr(keras.optimizers, CLASSES.get(name, name.capitalize()))).parameters
    assert {*ARGUMENTS[name], "learning_rate"} == set(parameters) - {"name", "kwargs"}


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_state_has_every_variable_of_an_optimizer(name: str, scaled: bool):
    """Also those that Keras does not list: within a LossScaleOptimizer, Nadam's product of momenta."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    inner = keras.optimizers.get({"class_name": name, "config": {"use_ema": True}})
    optimizer = keras.optimizers.LossScaleOptimizer(inner) if scaled else inner
    optimizer.build(model.trainable_variables)
    held = {
        id(variable)
        for part in {id(optimizer): optimizer, id(inner): inner}.values()
        for attribute in vars(part).values()
        for variable in (attribute if isinstance(attribute, list) else [attribute])
        if isinstance(variable, keras.Variable)
    }
    assert held <= {id(variable) for variable in variables(model, optimizer).values()}


def test_nadam_in_half_precision_resumes_as_if_it_had_not_stopped():
    def built() -> tuple[keras.Model, keras.optimizers.Optimizer]:
        keras.utils.clear_session()
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Nadam(0.1), initial_scale=1.0)
        optimizer.build(model.trainable_variables)
        return model, optimizer

    def step(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
        gradients = [np.ones(v.shape, np.float32) for v in model.trainable_variables]
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], model.trainable_variables)

    whole, resumed = built(), built()
    step(*whole)
    saved = {name: v.numpy() for name, v in variables(*whole).items()}
    for name, variable in variables(*resumed).items():
        variable.assign(saved[name])
    step(*whole)
    step(*resumed)
    for one, other in zip(whole[0].get_weights(), resumed[0].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
