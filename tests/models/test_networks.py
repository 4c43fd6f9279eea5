"""The networks of the source documents have the documents' parameters; others come by name."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from trainer.config import parse
from trainer.config.applications import APPLICATIONS, PREFIX
from trainer.dataset.pipeline.standardize import STANDARDIZATIONS, ChannelStatistics
from trainer.errors import ConfigError
from trainer.models import build, build_network, check_name
from trainer.models.export import export
from trainer.models.freeze import freeze
from trainer.models.starting_weights import load_starting_weights
from trainer.runs.run_document import RunDocument

CIFAR, FOOD = ((32, 32, 3), 10), ((64, 64, 3), 256)


@pytest.mark.parametrize(
    ("name", "options", "shape", "parameters", "trained"),
    [
        ("lab-cnn", {}, CIFAR, 25_770, 25_674),
        ("lab-cnn", {"n_dense_layers": 1}, CIFAR, 108_440, 108_244),
        ("lab-cnn", {"n_dense_layers": 1, "use_dropout": True}, CIFAR, 108_440, 108_244),
        ("lab-cnn", {"n_conv_layers": 4, "n_dense_layers": 1}, CIFAR, 31_192, 30_868),
        ("food-cnn", {"filters": [16]}, FOOD, 4_560, 4_560),
        ("food-cnn", {}, FOOD, 27_184, 27_184),
        ("food-cnn", {"dropout": 0.5}, FOOD, 27_184, 27_184),
        ("food-cnn", {"filters": [32, 64, 64, 128]}, FOOD, 91_040, 91_040),
        ("food-cnn", {"filters": [16, 32, 64, 128]}, FOOD, 76_464, 76_464),
        ("food-cnn", {"filters": [64] * 4}, FOOD, 66_816, 66_816),
        ("food-cnn", {"filters": [128] * 4}, FOOD, 231_680, 231_680),
        ("food-cnn", {"filters": [128] * 5, "dropout": 0.3}, FOOD, 297_344, 297_344),
        ("dcnn", {}, CIFAR, 236_266, 236_266),
        ("dcnn", {"stacks": 1, "filters": 16, "nodes": 8, "l2": 0.1}, CIFAR, 27_954, 27_954),
        ("keras:VGG16", {"n_nodes": 1024}, FOOD, 14_714_688 + 525_312 + 262_400, 15_502_400),
    ],
)
def test_parameters(
    name: str, options: dict[str, Any], shape: tuple[tuple[int, int, int], int], parameters: int, trained: int
) -> None:
    with keras.StatelessScope(initialize_variables=False):
        model = build(name, *shape, options)
    assert model.count_params() == parameters
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == trained
    assert model.output_shape == (None, shape[1])


def test_keras_applications_are_all_there_with_their_own_preprocessing() -> None:
    assert {name.removeprefix(PREFIX) for name in APPLICATIONS} == {
        name for name in dir(keras.applications) if name[0].isupper()
    }
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.float32)
    for name, standardize in APPLICATIONS.items():
        module = importlib.import_module(getattr(keras.applications, name.removeprefix(PREFIX)).__module__)
        expected = module.preprocess_input(images.copy())
        ours = STANDARDIZATIONS[standardize].apply(images, ChannelStatistics((), ()))
        np.testing.assert_allclose(ours, expected, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("keras:VGG16", {}, "caffe"),
        ("keras:EfficientNetB0", {}, "none"),
        ("keras:VGG16", {"standardize": "torch"}, "torch"),
        ("dcnn", {}, "x/127.5-1"),
    ],
)
def test_images_are_standardized_as_the_network_expects(
    name: str, given: dict[str, Any], expected: str
) -> None:
    config = parse({"data": {"url": "s3://b/d"} | given, "model": {"name": name}, "run": {"url": "s3://b/r"}})
    assert config.data.standardize == expected


def test_the_backbone_is_all_but_the_head() -> None:
    with keras.StatelessScope(initialize_variables=False):
        model = build("keras:MobileNetV2", (32, 32, 3), 5, {"n_nodes": 16})
        freeze(model, "backbone")
    assert [v.path.split("/")[0] for v in model.trainable_variables] == ["head"] * 2 + ["predictions"] * 2


def test_imagenet_weights_come_by_kerass_own_downloader(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    network = keras.applications.MobileNetV2

    def downloaded(*, weights: str | None, **options: Any) -> keras.Model:
        asked.append(weights)
        model = network(weights=None, **options)
        if weights:
            model.set_weights([np.full(w.shape, 0.25, np.float32) for w in model.get_weights()])
        return model

    monkeypatch.setattr(keras.applications, "MobileNetV2", downloaded)
    model = build("keras:MobileNetV2", (32, 32, 3), 5)
    report = load_starting_weights(model, "imagenet", network="keras:MobileNetV2")
    assert asked == [None, "imagenet"]
    assert "randomly initialised: predictions (its head)" in report.text()
    assert all((w == 0.25).all() for layer in model.layers[:-1] for w in layer.get_weights())
    assert not (model.layers[-1].get_weights()[0] == 0.25).all()

    def unreachable(*, weights: str | None, **options: Any) -> keras.Model:
        if weights:
            raise Exception("URL fetch failure on https://host/mobilenet.h5: None -- no route to host")
        return network(weights=None, **options)

    monkeypatch.setattr(keras.applications, "MobileNetV2", unreachable)
    with pytest.raises(ConfigError, match=r"URL fetch failure on .*mobilenet.h5.*Put mobilenet.h5 into "):
        load_starting_weights(model, "imagenet", network="keras:MobileNetV2")


OWN = """
import keras
from keras import layers

def small(image_shape, classes, *, width=4, depth: int = 1):
    model = keras.Sequential([keras.Input(image_shape)])
    for _ in range(depth):
        model.add(layers.Conv2D(width, 3, activation="relu"))
    model.add(layers.GlobalMaxPooling2D())
    model.add(layers.Dense(classes, activation="softmax"))
    return model

def nothing(image_shape, classes):
    return None

def other(image_shape, classes):
    return small(image_shape, classes + 1)

class Mine(layers.Layer):
    def call(self, x):
        return x

def layer(image_shape, classes):
    return keras.Sequential([keras.Input(image_shape), Mine(), *small(image_shape, classes).layers])
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "cars_team").mkdir()
    (tmp_path / "cars_team" / "networks.py").write_text(OWN)
    (tmp_path / "cars_team" / "broken.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    yield "cars_team"
    for name in [name for name in sys.modules if name.startswith("cars_team")]:
        del sys.modules[name]


def test_a_network_of_ones_own(package: str) -> None:
    model = build(f"{package}.networks:small", (8, 8, 3), 5, {"width": 2, "depth": 2})
    assert [layer.filters for layer in model.layers[:2]] == [2, 2]
    export(model)


@pytest.mark.parametrize(
    ("function", "options", "says"),
    [
        ("networks:small", {"widht": 2}, "has no option 'widht'. Did you mean 'width'"),
        ("networks:small", {"depth": "many"}, "model.options.depth"),
        ("networks:missing", {}, "has no function 'missing'"),
        ("broken:small", {}, "cannot be imported: ModuleNotFoundError: No module named 'no_such_package'"),
        ("networks:nothing", {}, "to return a keras.Model, received NoneType"),
        ("networks:other", {}, r"from \(None, 8, 8, 3\) to \(None, 5\), received one .* to \(None, 6\)"),
        ("networks:layer", {}, "could not load it"),
    ],
)
def test_what_is_no_network_of_ones_own(
    package: str, function: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        build(f"{package}.{function}", (8, 8, 3), 5, options)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("resnet5", "Did you mean 'resnet50'"),
        ("keras:EfficientNetB9", "Did you mean 'keras:EfficientNetB"),
        ("no such", "Known: lab-cnn, .*keras:NAME for one of keras.applications, package.module:function"),
    ],
)
def test_unknown_names(name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_name(name)


def test_images_that_a_network_cannot_take() -> None:
    with pytest.raises(ConfigError, match=r"keras:VGG16 does not take images of \(8, 8, 3\)"):
        build("keras:VGG16", (8, 8, 3), 5)


def test_the_network_of_a_run_predicts_in_float32_whatever_the_process_has_set() -> None:
    values = {"data": {"url": "/data"}, "model": {"name": "lab-cnn"}, "run": {"url": "/run"}}
    document = RunDocument({}, parse(values), ("a", "b"), (8, 8, 3), {})
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build_network(document)
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
