"""A run begins with the weights that it names, and goes on with its own."""

import io
import shutil
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from PIL import Image

from tests.commands import here
from tests.inference.conftest import predicted, rows
from tests.models import keras_forms
from tests.models.networks import used
from tests.run_processes import Runs
from tests.training.in_process import store_of, train
from trainer import models
from trainer.models.weights_file import load_weights_file
from trainer.runs import layout

NETWORK: dict[str, Any] = {"name": "lab-cnn", "options": {"n_filters": 4}}


def said(config: Path) -> str:
    done = here("train", "--config", str(config))
    assert done.returncode == 0, done.stderr
    return done.stderr


def backbone(content: bytes) -> dict[str, np.ndarray]:
    """Path -> array of every layer but the head."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(io.BytesIO(content)) as file:
        file["layers"].visititems(
            lambda path, item: found.update({path: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
    return {path: array for path, array in found.items() if not path.startswith("dense")}


def test_a_run_starts_from_another_and_needs_it_no_more_when_it_goes_on(runs) -> None:
    first = runs.folder / "first/run/weights"
    first.mkdir(parents=True)
    network = models.build(NETWORK["name"], (8, 8, 3), 10, NETWORK["options"])
    used(network).save_weights(first / "best.weights.h5")
    model = NETWORK | {"weights": str(first.parent), "freeze": "backbone"}
    second = runs.config("second", model=model)
    output = said(second)
    assert f"starting weights from {first}/best.weights.h5: 5 of 5 layers" in output

    weights = second.parent / "run/weights"
    expected = backbone((first / "best.weights.h5").read_bytes())
    found = backbone((weights / "last.weights.h5").read_bytes())
    assert len(expected) == 12
    for path, array in expected.items():
        np.testing.assert_array_equal(found[path], array, path)
    assert keras.saving.load_model(weights / "model.keras").output_shape == (None, 10)

    shutil.rmtree(first)
    more = runs.config("second", model=model, train={"epochs": 2})
    output = said(more)
    assert "resuming at step" in output
    assert "starting weights" not in output


def test_an_epoch_and_predictions_from_a_keras_2_model_of_other_numbers(runs: Runs, tmp_path: Path) -> None:
    """By the file, not by names: three convolutions of one shape, the first numbered 1 in the file."""
    network: dict[str, Any] = {"name": "food-cnn", "options": {"filters": [16, 16, 16]}}
    source = used(models.build(network["name"], (8, 8, 3), 10, network["options"]))
    (tmp_path / "theirs.h5").write_bytes(keras_forms.file(keras_forms.keras_2(source), whole=True))
    config = runs.config(
        "legacy",
        model=network | {"weights": f"{tmp_path}/theirs.h5"},
        train={"optimizer": {"name": "sgd", "learning_rate": 1e-12}},
    )
    train(config)

    store = store_of(config)
    saved = {name: array for layer in keras_forms.keras_2(source).values() for name, array in layer.items()}
    trained = models.build(network["name"], (8, 8, 3), 10, network["options"])
    load_weights_file(trained, store.get(layout.weights("last")))
    found = {n: a for layer in keras_forms.keras_2(trained).values() for n, a in layer.items()}
    assert found.keys() == saved.keys()
    for name, array in saved.items():
        np.testing.assert_allclose(found[name], array, atol=1e-6, err_msg=name)

    pixels = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3), np.uint8)
    (tmp_path / "images").mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"images/{number}.png")
    predicted(store.url, tmp_path / "images", tmp_path / "predictions")
    expected = source.predict(pixels.astype(np.float32) / 255, verbose=0).max(1)
    given = sorted(rows(tmp_path / "predictions"), key=lambda row: row["image"])
    np.testing.assert_allclose([row["probability"] for row in given], expected, atol=1e-5)
