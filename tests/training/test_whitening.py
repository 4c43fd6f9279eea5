"""`standardize: zca`: computed once for a new run, and part of its weights ever after."""

from pathlib import Path
from unittest.mock import Mock

import keras
import numpy as np
import pytest

from tests.run_processes import Runs
from tests.training.in_process import train
from trainer.config import parse
from trainer.config.load import read_yaml
from trainer.dataset.reading.reader import Reader
from trainer.inference.network import network_from_run
from trainer.inference.predictor import Predictor
from trainer.models.whitening import EPSILON
from trainer.training.run_plan import make_plan
from trainer.training.setup import first_state


def test_all_ranks_train_and_predictions_are_made_behind_the_same_whitening(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = runs.config("one", data={"standardize": "zca"})
    folder = runs.finish(config, 2)
    assert runs.digests(folder, 0) == runs.digests(folder, 1)

    plan = make_plan(parse(read_yaml(config)), 1)
    split = plan.dataset.split("train")
    images = np.concatenate([b.images for b in Reader(plan.dataset, split).batches_of(range(split.rows), 64)])
    model = keras.saving.load_model(folder / "run/weights/model.keras")
    flat = keras.Model(model.inputs, model.get_layer("zca").output).predict_on_batch(images / 255)
    np.testing.assert_allclose(flat.mean(0), 0, atol=1e-2)
    before = np.linalg.eigvalsh(np.cov(images.reshape(len(images), -1).T / 255)).clip(0)
    np.testing.assert_allclose(np.linalg.eigvalsh(np.cov(flat.T)), before / (before + EPSILON), atol=1e-2)

    predictor = Predictor(network_from_run(str(folder / "run"), "best"), 64)
    np.testing.assert_allclose(
        predictor.probabilities(images[:64]), model.predict_on_batch(images[:64] / 255), atol=1e-5
    )

    saved = kernel(runs, folder)
    monkeypatch.setattr(first_state, "whiten", Mock(side_effect=AssertionError("computed once more")))
    train(runs.config("one", data={"standardize": "zca"}, train={"epochs": 2}))
    np.testing.assert_array_equal(kernel(runs, folder), saved)


def kernel(runs: Runs, folder: Path) -> np.ndarray:
    return next(array for array in runs.weights(folder) if array.shape == (192, 192))
