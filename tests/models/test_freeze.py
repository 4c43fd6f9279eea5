"""Frozen layers keep every bit of their weights and statistics; a pattern without a layer is refused."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.models.networks import images, legacy_file, legacy_layers, small_resnet, used
from trainer.errors import ConfigError
from trainer.models.freeze import freeze, frozen_variables
from trainer.models.starting_weights import leaves, load_starting_weights


def names(model: keras.Model) -> list[str]:
    return [layer.name for layer in leaves(model)]


def test_none_freezes_nothing() -> None:
    model = small_resnet()
    assert freeze(model, "none") == ()
    assert not frozen_variables(model)


def test_the_backbone_is_all_but_the_head() -> None:
    model = small_resnet()
    assert list(freeze(model, "backbone")) == names(model)[:-1]
    assert [variable.path for variable in model.trainable_variables] == ["fc8/kernel", "fc8/bias"]


def test_a_depth_counts_the_models_layers() -> None:
    model = small_resnet()
    first = {layer.name for layer in model.layers[:5]}
    assert set(freeze(model, "depth:5")) == first - {"data", "conv1_zeropadding"}


def test_a_pattern_chooses_by_name() -> None:
    model = small_resnet()
    frozen = freeze(model, "*2a_branch*")
    assert frozen == tuple(name for name in names(model) if "2a_branch" in name)
    assert len(frozen) == 12


@pytest.mark.parametrize("nested", [False, True])
def test_all_but_the_last_layers_as_by_keras_s_slice(nested: bool) -> None:
    model = small_resnet()
    expected = {layer.name for layer in model.layers[:-20] if layer.weights}
    if nested:
        image = keras.Input((32, 32, 3))
        model = keras.Model(image, model(image))
    assert set(freeze(model, "all-but-last:20")) == expected
    assert 0 < len(model.trainable_variables) < len(model.variables)


def test_several_are_frozen_together() -> None:
    model = small_resnet()
    frozen = set(freeze(model, ["conv1", "batch_norm", "none"]))
    norms = {layer.name for layer in model.layers if isinstance(layer, layers.BatchNormalization)}
    assert frozen == norms | {"conv1"}


def test_freezing_once_more_lets_go_of_what_was_frozen_but_for_the_networks_own() -> None:
    model = small_resnet()
    model.get_layer("conv1").trainable = False
    whole = len(model.trainable_variables)
    freeze(model, "backbone")
    assert len(model.trainable_variables) == 2
    freeze(model, "depth:5")
    freeze(model, "none")
    assert len(model.trainable_variables) == whole
    assert not model.get_layer("conv1").trainable


def test_layers_of_a_nested_model_are_frozen_too() -> None:
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, layers.Dense(2, name="head")(small_resnet()(image)))
    assert freeze(model, "backbone")[-1] == "fc8"
    assert [variable.path for variable in model.trainable_variables] == ["head/kernel", "head/bias"]


@pytest.mark.parametrize("how", ["conv2d*", "CONV1", "depth:0", "conv1_relu", "all"])
def test_what_answers_to_no_layer_with_weights_is_refused(how: str) -> None:
    with pytest.raises(ConfigError, match="no layer with weights in scaled_resnet matches") as error:
        freeze(small_resnet(), how)
    assert error.value.exit_code == 64


@pytest.mark.parametrize("how", ["*", "depth:91", "all-but-last:0", ["backbone", "fc8"]])
def test_a_network_with_nothing_to_train_is_refused(how: str | list[str]) -> None:
    with pytest.raises(ConfigError, match="freezes every layer"):
        freeze(small_resnet(), how)


def test_a_depth_beyond_the_network_says_how_deep_it_is() -> None:
    with pytest.raises(ConfigError, match="has 91 layers, received depth:92"):
        freeze(small_resnet(), "depth:92")
    with pytest.raises(ConfigError, match=r"received all-but-last:92\. Use up to all-but-last:90"):
        freeze(small_resnet(), "all-but-last:92")


def test_training_changes_no_bit_of_frozen_layers() -> None:
    model = used(small_resnet())
    freeze(model, "backbone")
    frozen = frozen_variables(model)
    before = [variable.numpy() for variable in model.variables]
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    model.train_on_batch(images(), np.array([0, 1, 2]))
    for old, variable in zip(before, model.weights, strict=True):
        assert (id(variable) in frozen) == bool(np.array_equal(old, variable.numpy())), variable.path


def test_a_frozen_network_takes_starting_weights_as_any_other() -> None:
    source, model = used(small_resnet()), small_resnet()
    freeze(model, "backbone")
    load_starting_weights(model, "x.h5", lambda _: legacy_file(legacy_layers(source)))
    for layer, expected in zip(leaves(model), leaves(source), strict=True):
        for found, array in zip(layer.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(found, array, layer.name)
