"""The network of the cars document is the one whose weights its readers have."""

import keras
import numpy as np
import pytest

from tests.models.networks import images, small_resnet, used
from trainer import models


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return models.build("resnet152-scale", (32, 32, 3), 1000)


def test_layers_are_named_as_in_the_known_file(network: keras.Model) -> None:
    stages = {"2": "abc", "3": ["a", *(f"b{i}" for i in range(1, 8))], "5": "abc"}
    stages["4"] = ["a", *(f"b{i}" for i in range(1, 36))]
    branches = [f"{s}{b}_branch{n}" for s, bs in stages.items() for b in bs for n in ("2a", "2b", "2c")]
    branches += [f"{stage}a_branch1" for stage in stages]
    expected = {"conv1", "bn_conv1", "scale_conv1", "fc8"}
    expected |= {f"{kind}{branch}" for kind in ("res", "bn", "scale") for branch in branches}
    assert {layer.name for layer in network.layers if layer.weights} == expected


def test_it_has_the_weights_of_resnet_152_and_scales(network: keras.Model) -> None:
    # keras.applications.ResNet152 has 60,419,944: a bias for each of the 75,712 channels of its convolutions.
    assert network.count_params() == 60_419_944 - 75_712 + 2 * 75_712


def test_at_224_pixels_the_last_map_is_the_7_by_7_that_the_original_averages(network: keras.Model) -> None:
    shape = (1, 224, 224, 3)
    for layer in network.layers:
        if isinstance(
            layer, keras.layers.Conv2D | keras.layers.ZeroPadding2D | keras.layers.MaxPooling2D
        ) and (not layer.name.endswith("branch1")):
            shape = layer.compute_output_shape(shape)
    assert shape == (1, 7, 7, 2048)


def test_batch_norms_keep_the_epsilon_of_the_known_weights(network: keras.Model) -> None:
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {norm.epsilon for norm in norms} == {1.1e-5}


def test_a_scale_multiplies_and_adds_for_each_channel() -> None:
    model = used(small_resnet())
    scale = model.get_layer("scale2a_branch2a")
    given = np.random.default_rng(0).normal(size=(2, 3, 3, 4)).astype(np.float32)
    gamma, beta = scale.get_weights()
    np.testing.assert_allclose(scale(given), given * gamma + beta, rtol=1e-6)


def test_it_trains_in_mixed_precision_with_float32_weights() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = small_resnet()
    finally:
        keras.config.set_dtype_policy("float32")
    assert {variable.dtype for variable in model.weights} == {"float32"}
    assert model.get_layer("scale_conv1").compute_dtype == "float16"
    assert model(images()).dtype.name == "float32"
