"""Legacy files whose layers are numbered otherwise: by the order of the layers, or not at all."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from tests.models import keras_forms
from tests.models.keras_forms import keras_1, keras_2, nested
from tests.models.networks import used
from tests.models.test_starting_weights import assert_equal, load, weights_file
from trainer.errors import ConfigError
from trainer.models.networks.food import food_cnn
from trainer.models.networks.lab import build_cnn
from trainer.models.starting_weights import load_starting_weights
from trainer.models.whitening import whitened


def food(filters: tuple[int, ...] = (4, 4, 4), classes: int = 3) -> keras.Model:
    """Its convolutions behind the first have one shape: a name could put one into another's place."""
    return food_cnn((16, 16, 3), classes, filters=list(filters))


def lab(**options: Any) -> keras.Model:
    return build_cnn((8, 8, 3), 3, n_filters=4, n_dense_layers=1, n_nodes=4, **options)


@pytest.mark.parametrize("build", [food, lab])
@pytest.mark.parametrize("start", [0, 1, 7])
@pytest.mark.parametrize("form", [keras_1, keras_2])
@pytest.mark.parametrize("whole", [False, True], ids=["weights", "model"])
def test_layers_of_other_numbers_go_in_by_order(build, start: int, form, whole: bool) -> None:
    source = used(build())
    for _ in range(start % 3):
        build()  # so that the numbers of both overlap otherwise
    model = build()
    report = load(model, keras_forms.file(form(source, start), whole=whole, keras_version=b"2.2.4"))
    assert_equal(model, source)
    assert not {**report.mismatched, **report.missing, **report.unused}


@pytest.mark.parametrize("names", [("conv2d_7", "conv2d_8", "dense_4"), ("a", "b", "c")])
def test_a_file_that_keras_3_wrote_goes_in_as_keras_puts_it(names: tuple[str, ...], tmp_path: Path) -> None:
    def network(*names: str) -> keras.Model:
        built = [layers.Conv2D(3, 2, padding="same", name=name) for name in names[:-1]]
        head = [layers.GlobalAveragePooling2D(), layers.Dense(3, name=names[-1])]
        return keras.Sequential([keras.Input((8, 8, 3)), *built, *head])

    source = used(network(*names))
    source.compile("adam", "sparse_categorical_crossentropy")
    source.save(tmp_path / "model.h5")
    model, theirs = network("conv2d_8", "conv2d_7", "dense"), network("conv2d", "conv2d_1", "dense")
    load(model, (tmp_path / "model.h5").read_bytes())
    theirs.load_weights(tmp_path / "model.h5")
    assert_equal(model, theirs)
    assert_equal(model, source)


def test_a_model_in_the_model_goes_in_layer_by_layer() -> None:
    source, model = used(lab()), lab()
    load(model, keras_forms.file(nested(keras_2(source, 5), 6)))
    assert_equal(model, source)


def test_kernels_of_theano_are_turned_back() -> None:
    source, model = used(lab()), lab()
    turned = keras_1(source)
    for weights in turned.values():
        weights |= {name: a[::-1, ::-1] for name, a in weights.items() if a.ndim == 4}
    load(model, keras_forms.file(turned, backend=b"theano"))
    assert_equal(model, source)


@pytest.mark.parametrize("classes", [None, 1000])
def test_a_head_of_other_classes_or_none_stays_fresh(classes: int | None) -> None:
    source, model = used(food(classes=classes or 3)), food()
    saved = keras_2(source, 7)
    if classes is None:
        del saved["dense_7"]
    head = model.layers[-1]
    fresh = head.get_weights()
    report = load(model, keras_forms.file(saved))
    assert_equal(model, source, but=(head.name,))
    np.testing.assert_array_equal(head.get_weights()[0], fresh[0])
    if classes is None:
        assert report.missing == {head.name: "not in the file"}
    else:
        assert report.mismatched == {head.name: "(4, 1000) in the file, (4, 3) in the network"}
    assert not report.unused


@pytest.mark.parametrize(
    ("filters", "reason"),
    [
        ((4, 4), r"dense_1 would go into conv2d\w*: a dense in the file, a conv2d in the network"),
        (
            (4, 4, 4, 4),
            r"conv2d_4 would go into dense\w*: a conv2d in the file, a dense in the network",
        ),
        ((4, 5, 4), r"conv2d_2 would go into conv2d\w*: \(2, 2, 4, 5\) in the file, \(2, 2, 4, 4\) in"),
    ],
    ids=["fewer", "more", "another width"],
)
def test_another_order_puts_no_layer_where_only_its_number_fits(
    filters: tuple[int, ...], reason: str
) -> None:
    model = food()
    fresh = [array.copy() for array in model.get_weights()]
    with pytest.raises(ConfigError, match=rf"no layer of weights\.h5 fits food_cnn \(in order, {reason}"):
        load(model, keras_forms.file(keras_2(used(food(filters)))))
    for array, before in zip(model.get_weights(), fresh, strict=True):
        np.testing.assert_array_equal(array, before)


def test_a_chosen_name_goes_in_though_the_order_is_another_and_a_number_does_not() -> None:
    def network(*names: str) -> keras.Model:
        return keras.Sequential([keras.Input((4,)), *(layers.Dense(4, name=name) for name in names)])

    source, model = used(network("stem", "dense_1", "dense_2", "top")), network("stem", "dense_2", "top")
    report = load(model, keras_forms.file(keras_forms_of(source)))
    assert report.matched == ("stem", "top")
    assert report.missing == {
        "dense_2": "its name is an automatic one, and the order of the layers is another"
    }
    np.testing.assert_array_equal(model.get_layer("top").get_weights()[0], source.layers[3].get_weights()[0])


def test_chosen_names_at_other_places_are_not_overruled_by_the_order() -> None:
    def network(*names: str) -> keras.Model:
        return keras.Sequential([keras.Input((4,)), *(layers.Dense(4, name=name) for name in names)])

    source, model = used(network("one", "two", "three")), network("one", "three", "two")
    load(model, keras_forms.file(keras_forms_of(source)))
    np.testing.assert_array_equal(model.get_layer("two").get_weights()[0], source.layers[1].get_weights()[0])


@pytest.mark.parametrize(
    ("saved", "own", "reason"),
    [
        (
            layers.BatchNormalization(scale=False),
            layers.BatchNormalization(center=False),
            "beta in the file, gam",
        ),
        (layers.LayerNormalization(), layers.GroupNormalization(1), "a layernormalization in the file"),
        (layers.DepthwiseConv2D(2), layers.Conv2D(1, 2), "a depthwiseconv2d in the file, a conv2d in"),
    ],
    ids=["batch norm", "normalization", "convolution"],
)
def test_layers_of_one_shape_and_another_kind_do_not_fit(saved, own, reason: str, tmp_path: Path) -> None:
    def network(layer: keras.layers.Layer) -> keras.Model:
        return keras.Sequential([keras.Input((4, 4, 1)), layer])

    named = own.__class__.from_config({**own.get_config(), "name": saved.name})
    network(saved).save(tmp_path / "model.h5")
    with pytest.raises(ConfigError, match=reason):
        load(network(named), (tmp_path / "model.h5").read_bytes())


def test_a_depthwise_kernel_of_keras_2_is_one_of_keras_3_and_of_no_other_convolution() -> None:
    def network(layer: keras.layers.Layer) -> keras.Model:
        return keras.Sequential([keras.Input((4, 4, 1)), layer])

    kernel = np.ones((2, 2, 1, 1), np.float32)
    content = keras_forms.file(
        {"dw": {"dw/depthwise_kernel:0": kernel, "dw/bias:0": np.ones(1, np.float32)}}, backend=b"tensorflow"
    )
    model = network(layers.DepthwiseConv2D(2, name="first"))
    assert load(model, content).matched == ("first",)
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], kernel)
    with pytest.raises(ConfigError, match="depthwise_kernel in the file, kernel in the network"):
        load(network(layers.Conv2D(1, 2, name="dw")), content)


def test_another_dense_layer_leaves_the_convolutions_of_a_weights_file_in_their_places(
    tmp_path: Path,
) -> None:
    source, model = used(lab()), build_cnn((8, 8, 3), 3, n_filters=4, n_dense_layers=2, n_nodes=4)
    report = load(model, weights_file(source, tmp_path))
    convolutions = [layer.name for layer in model.layers if isinstance(layer, layers.Conv2D)]
    assert report.matched == tuple(convolutions)
    for own, theirs in zip(model.layers[:4], source.layers[:4], strict=True):
        if isinstance(own, layers.Conv2D):
            np.testing.assert_array_equal(own.get_weights()[0], theirs.get_weights()[0])


@pytest.mark.parametrize("form", ["legacy", "weights.h5"])
def test_a_network_with_whitening_starts_from_weights_without(form: str, tmp_path: Path) -> None:
    source, model = used(food()), whitened(food())
    content = keras_forms.file(keras_2(source, 9)) if form == "legacy" else weights_file(source, tmp_path)
    report = load(model, content)
    for own, theirs in zip(model.layers[3:], source.layers, strict=True):
        for found, array in zip(own.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(found, array)
    assert report.missing == {"zca": "not in the file"}


def test_a_file_by_its_path(tmp_path: Path) -> None:
    source, model = used(food()), food()
    (tmp_path / "keras1.hdf5").write_bytes(keras_forms.file(keras_1(source)))
    load_starting_weights(model, str(tmp_path / "keras1.hdf5"))
    assert_equal(model, source)


def keras_forms_of(model: keras.Model) -> dict[str, keras_forms.Weights]:
    """As Keras 2 writes a model, by its own names."""
    return {
        layer.name: {
            f"{layer.name}/{role}:0": array
            for role, array in zip(("kernel", "bias"), layer.get_weights(), strict=True)
        }
        for layer in model.layers
    }
