"""A network of keras.applications the whole way: prepare, train, validate, export, load, predict.

In a process of its own, which gives the memory back: python -m tests.training.application keras:NAME FOLDER
"""

import sys
import time
from pathlib import Path

import keras
import numpy as np
import yaml

from tests.trained import images
from tests.training import in_process
from trainer.config.applications import APPLICATIONS
from trainer.dataset.pipeline.preprocessing import Preprocessing
from trainer.inference.network import network_from_run
from trainer.inference.predictor import Predictor
from trainer.preparation.prepare import prepare
from trainer.runs import layout

CLASSES = ("cat", "cow", "dog")
SMALLEST = {"keras:InceptionV3": 75, "keras:InceptionResNetV2": 75, "keras:Xception": 71}
"""Pixels, where it is not 32."""


def whole_way(name: str, folder: Path) -> None:
    """Asserts that a run of one step and one validation, its model.keras and its predictions agree."""
    prepare(str(images(folder / "images", 4, *CLASSES)), f"file://{folder}/data", validation=0.34, seed=0)
    size = SMALLEST.get(name, 32)
    config = folder / "run.yaml"
    values = {
        "data": {"url": f"file://{folder}/data", "image_size": size},
        "model": {"name": name},
        "train": {"epochs": 1, "batch_size": 6, "optimizer": {"name": "sgd", "learning_rate": 1e-4}},
        "run": {"url": f"file://{folder}/run", "checkpoint": {"every": "1000 steps"}},
    }
    config.write_text(yaml.safe_dump(values))
    finished = in_process.train(config)
    assert finished.best
    assert np.isfinite([finished.best.metrics[key] for key in ("loss", "val_loss")]).all()

    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    predictor = Predictor(network_from_run(f"file://{folder}/run", "best"), batch_size=2)
    found = predictor.probabilities(pixels)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-4)
    preprocessing = Preprocessing(APPLICATIONS[name], size=(size, size))
    exported = keras.saving.load_model(folder / "run" / layout.KERAS_MODEL)
    np.testing.assert_allclose(found, exported.predict_on_batch(preprocessing(pixels)), atol=1e-4)


if __name__ == "__main__":
    began = time.monotonic()
    whole_way(sys.argv[1], Path(sys.argv[2]))
    print(f"{sys.argv[1]} {time.monotonic() - began:.0f} s")
