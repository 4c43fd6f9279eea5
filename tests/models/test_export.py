"""The model that people download predicts what the trained one does, without any of this code."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from tests.models.networks import images, small_resnet, used
from trainer.errors import TrainerError
from trainer.models.export import export, keras_file
from trainer.models.networks.lab import build_cnn
from trainer.models.networks.scale import Scale

pytestmark = pytest.mark.slow

ELSEWHERE = """
import sys
import zipfile

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("trainer", "tests"):
            raise ImportError(f"{name} was asked for")

sys.meta_path.insert(0, Blocked())
import keras
import numpy as np

images = np.load("images.npy")
for name in sys.argv[1:]:
    model = keras.saving.load_model(f"{name}.keras")
    assert not model.compiled
    np.save(f"{name}.npy", model.predict_on_batch(images))
assert not [name for name in sys.modules if name.split(".")[0] == "trainer"]
"""


def lab() -> keras.Model:
    return build_cnn((32, 32, 3), 4, n_filters=4, n_dense_layers=1, n_nodes=6, use_dropout=True)


def sequential_with_scale() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(scale=False, center=False),
            Scale(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def scales_that_no_batch_norm_can_take() -> keras.Model:
    image = keras.Input((32, 32, 3))
    normed = layers.BatchNormalization(name="shared")(image)
    scaled = Scale(name="beside")(normed)
    both = layers.Add()([scaled, normed])
    both = Scale(name="after_add")(both)
    return keras.Model(image, layers.Dense(3)(layers.Flatten()(both)))


def scale_at_the_end() -> keras.Model:
    image = keras.Input((32, 32, 3))
    return keras.Model(image, Scale()(layers.BatchNormalization()(layers.GlobalMaxPooling2D()(image))))


def nested() -> keras.Model:
    image = keras.Input((32, 32, 3))
    return keras.Model(image, layers.Dense(2)(layers.Flatten()(lab()(image))))


@pytest.mark.parametrize(
    "build",
    [
        lab,
        small_resnet,
        sequential_with_scale,
        scales_that_no_batch_norm_can_take,
        scale_at_the_end,
        nested,
    ],
)
def test_the_exported_model_predicts_the_same_with_layers_of_keras_alone(build) -> None:
    model = used(build())
    exported = export(model)
    assert all(type(layer).__module__.startswith("keras.") for layer in exported.layers)
    found, expected = exported.predict_on_batch(images()), model.predict_on_batch(images())
    assert np.ptp(expected, axis=0).max() > 1e-3, "the images make a difference"
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_scales_are_gone_and_batch_norms_stay() -> None:
    model = small_resnet()
    kinds = [type(layer).__name__ for layer in model.layers]
    exported = [type(layer).__name__ for layer in export(model).layers]
    assert exported == [kind for kind in kinds if kind != "Scale"]


def test_the_trained_model_and_its_optimizer_stay_as_they_are() -> None:
    model = used(small_resnet())
    model.compile("adam", "sparse_categorical_crossentropy")
    before = [v.numpy() for v in model.variables]
    exported = export(model)
    assert model.compiled
    assert not exported.compiled
    for old, new in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, new.numpy())


def test_a_model_of_mixed_precision_is_downloaded_as_float32() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = used(small_resnet())
    finally:
        keras.config.set_dtype_policy("float32")
    exported = export(model)
    assert {layer.compute_dtype for layer in exported.layers} == {"float32"}
    found, expected = exported.predict_on_batch(images()), model.predict_on_batch(images())
    np.testing.assert_allclose(found, expected, atol=2e-2)


def test_a_layer_of_ones_own_that_is_not_known_is_named() -> None:
    class Mine(layers.Layer):
        pass

    with (
        pytest.raises(TrainerError, match=r"'own' \(Mine\)"),
        keras.saving.custom_object_scope({"Mine": Mine}),
    ):
        export(keras.Sequential([keras.Input((2,)), Mine(name="own")]))


def test_the_file_loads_and_predicts_where_there_is_only_keras(tmp_path: Path) -> None:
    models = {"lab": used(lab()), "resnet": used(small_resnet())}
    np.save(tmp_path / "images.npy", images())
    for name, model in models.items():
        (tmp_path / f"{name}.keras").write_bytes(keras_file(model))
    subprocess.run([sys.executable, "-I", "-c", ELSEWHERE, *models], cwd=tmp_path, check=True)
    for name, model in models.items():
        found = np.load(tmp_path / f"{name}.npy")
        np.testing.assert_allclose(found, model.predict_on_batch(images()), rtol=1e-5, atol=1e-5)


def test_a_file_of_the_same_weights_is_the_same_whenever_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(keras_file(used(lab())))
    with zipfile.ZipFile(tmp_path / "model.keras") as file:
        assert {info.date_time for info in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert json.loads(file.read("metadata.json"))["date_saved"] == "1980-01-01@00:00:00"
