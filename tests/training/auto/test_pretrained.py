"""`recipe: auto` with pretrained weights goes the whole way, and its tables are Keras's."""

import threading
from pathlib import Path
from typing import Any

import h5py
import keras
import pytest
from keras.src.legacy.saving import legacy_h5_format

from tests.cli.car_photos import drawn_photos
from trainer import main
from trainer.config.load import parse
from trainer.distribution.single import Single
from trainer.models.networks.pretrained_files import SIDES, file_url
from trainer.observability.metrics import RunMetrics
from trainer.preparation.prepare import prepare
from trainer.runs.run_document import RunResult, read_run
from trainer.storage import open_store
from trainer.training import run as training
from trainer.training.auto import loaded_run
from trainer.training.auto.choice import ON_CPUS, ON_GPUS
from trainer.training.auto.costs import COSTS
from trainer.training.run_plan import make_plan
from trainer.training.setup.build_network import footprint, setup_tensorflow

SIDE = 96


class Asked(Exception):
    """Keras asked for a file."""


@pytest.mark.parametrize("name", sorted({*ON_CPUS, *ON_GPUS}))
def test_the_files_are_those_that_keras_downloads(name: str, monkeypatch: pytest.MonkeyPatch):
    def get_file(file: str, url: str, **_: Any) -> None:
        raise Asked(url)

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    for side in (SIDES[0], 100):
        build = getattr(keras.applications, name.removeprefix("keras:"))
        with pytest.raises(Asked) as asked:
            build(include_top=False, weights="imagenet", input_shape=(side, side, 3))
        assert str(asked.value) == file_url(name, side)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("photos")
    return prepare(str(drawn_photos(folder / "images", 4)), f"file://{folder}/data").url


def train(data: str, run: str, *sets: str) -> RunResult:
    """A run in this process, as `trainer train` without a recipe."""
    with loaded_run(overrides=[f"data.url={data}", f"run.url={run}", *sets]) as (config, _):
        store = open_store(config.run.url)
        setup_tensorflow(config)
        return training.train(make_plan(config, 1), store, Single(), threading.Event(), RunMetrics(0))


@pytest.mark.parametrize("name", COSTS)
def test_the_memory_that_is_planned_is_about_what_a_step_is_estimated_to_need(
    name: str, photos: str, tmp_path: Path
):
    values = {
        "data": {"url": photos, "image_size": SIDE},
        "model": {"name": name},
        "train": {"batch_size": 8},
        "run": {"url": f"{tmp_path}/run"},
    }
    few = footprint(make_plan(parse(values), 1)).step_bytes
    values["train"] = {"batch_size": 4}
    each = (few - footprint(make_plan(parse(values), 1)).step_bytes) / 4
    assert COSTS[name].bytes_per_pixel * SIDE * SIDE == pytest.approx(each, rel=0.3)


def test_photos_are_trained_from_weights_in_keras_s_folder(
    photos: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Trained, validated, tested, resumed with the choice that was kept, exported and predicted with."""
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    (tmp_path / "models").mkdir()
    body = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3))
    file = tmp_path / "models" / file_url("keras:MobileNetV2", SIDE).rpartition("/")[2]
    with h5py.File(file, "w") as target:
        legacy_h5_format.save_weights_to_hdf5_group(target, body)
    words = ["train", "--set", f"data.url={photos}", "--set", f"run.url={tmp_path}/run"]

    assert main.run([*words, "--check"]) == 0
    screen = capsys.readouterr()
    chosen, because, change = screen.out.splitlines()[:3]
    assert chosen.startswith("chosen        keras:MobileNetV2 with pretrained weights, its head trained; ")
    assert because.startswith("because       ")
    assert f"the weights are in {tmp_path}/models" in because
    assert change.startswith("to change it  --recipe NAME")
    assert f"next: trainer train --set data.url={photos}" in screen.err
    assert not (tmp_path / "run").exists()

    run = train(photos, f"{tmp_path}/run", "train.epochs=1")
    assert run.epochs == 1
    assert "test_accuracy" in run.last.metrics
    config = read_run(open_store(f"{tmp_path}/run")).config
    assert (config.model.weights, config.model.freeze) == ("imagenet", "backbone")

    file.unlink()  # a later start needs neither the weights nor a new choice
    assert train(photos, f"{tmp_path}/run", "train.epochs=2").epochs == 2
    image = next(Path(photos.removeprefix("file://")).parent.rglob("*.jpg"))
    capsys.readouterr()
    assert main.run(["predict", "--run", f"{tmp_path}/run", str(image)]) == 0
    assert "car" in capsys.readouterr().out

    other = [*words[:-1], f"run.url={tmp_path}/second", "--set", f"model.weights={tmp_path}/run"]
    assert main.run([*other, "--check"]) == 0
    assert f"of the run {tmp_path}/run" in capsys.readouterr().out
