"""Networks of keras.applications with ImageNet's weights and names, from Keras's folder."""

import json
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format
from PIL import Image

from tests.commands import here, refused_here
from trainer.errors import ConfigError
from trainer.inference import adhoc

WEIGHTS = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5"  # has no hash in Keras
INDEX = "imagenet_class_index.json"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keras's folder, empty, and no network."""
    monkeypatch.setenv("KERAS_HOME", f"{tmp_path}/keras")
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", f"{tmp_path}/keras")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    folder = tmp_path / "keras/models"
    folder.mkdir(parents=True)
    return folder


def test_offline_it_says_which_file_to_put_where(models: Path, tmp_path: Path) -> None:
    Image.new("RGB", (300, 200), "red").save(tmp_path / "a.png")
    said = refused_here("predict", "--model", "keras:MobileNetV2", f"{tmp_path}/a.png")
    assert f"Put {INDEX} into {models}" in said
    (models / INDEX).write_text(json.dumps({str(n): [f"n{n:08d}", f"name {n // 2}"] for n in range(1000)}))
    said = refused_here("predict", "--model", "keras:MobileNetV2", f"{tmp_path}/a.png")
    assert f"Put {WEIGHTS} into {models}" in said


def test_it_classifies_as_keras_itself_does(models: Path, tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    model = keras.applications.MobileNetV2(weights=None)
    with h5py.File(models / WEIGHTS, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    (models / INDEX).write_text(json.dumps({str(n): [f"n{n:08d}", f"name {n // 2}"] for n in range(1000)}))
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    done = here("predict", "--model", "keras:MobileNetV2", f"{tmp_path}/a.png", "--json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    expected = model.predict(
        keras.applications.mobilenet_v2.preprocess_input(pixels[None].astype(np.float32)), verbose=0
    )[0]
    assert found["class_id"] == expected.argmax()
    number = found["class_id"]
    assert found["class_name"] == f"name {number // 2} (n{number:08d})"
    assert found["probability"] == pytest.approx(float(expected.max()), abs=2e-6)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model": "keras:Foo"}, "expected one of keras.applications"),
        ({}, "either run or model"),
        ({"model": "keras:MobileNetV2", "run": "/run"}, "either run or model"),
        ({"model": "keras:MobileNetV2", "weights": "last"}, "remove weights"),
    ],
)
def test_what_is_no_such_network_or_two_at_once(given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        adhoc.main(["a.png"], None, given, ())
