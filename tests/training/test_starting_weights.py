"""A run begins with the weights that it names, and goes on with its own."""

import io
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from tests.models.networks import used
from trainer import models

NETWORK: dict[str, Any] = {"name": "lab-cnn", "options": {"n_filters": 4}}


def said(config: Path) -> str:
    command = [sys.executable, "-m", "trainer", "train", "--config", str(config)]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return done.stdout


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
