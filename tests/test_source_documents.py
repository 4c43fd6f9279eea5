"""What the source documents did, on data of their form: the food classifier's folders, the cars' weights."""

import csv
import io
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.commands import here, trainer
from tests.models.networks import legacy_file, legacy_layers, used

FOODS = 12


def food(folder: Path, per_class: int = 20) -> Path:
    """Folders 1 to 12, as UECFOOD-256 numbers them, of images that differ in colour by their class."""
    random = np.random.default_rng(0)
    for number in range(1, FOODS + 1):
        (folder / str(number)).mkdir(parents=True)
        colour = random.integers(40, 216, 3)
        for image in range(per_class):
            pixels = np.clip(colour + random.normal(0, 12, (64, 64, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / str(number) / f"{image}.jpg")
    return folder


def test_the_food_document_from_folders_to_its_table(tmp_path: Path) -> None:
    done = here(
        *("prepare", str(food(tmp_path / "food")), f"{tmp_path}/data", "--image-size", "64"),
        *("--validation", "0.2", "--test", "0.1"),
    )
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "data/dataset.json").read_text())
    assert manifest["classes"] == [str(number) for number in range(1, FOODS + 1)], "2 comes before 10"
    assert {name: split["rows"] for name, split in manifest["splits"].items()} == {
        "train": 14 * FOODS,
        "validation": 4 * FOODS,
        "test": 2 * FOODS,
    }
    for recipe, ranks in (("food-1", "1"), ("food-2", "2")):
        values = {"data.url": f"{tmp_path}/data", "run.url": f"{tmp_path}/{recipe}", "train.epochs": 2}
        values |= {"train.batch_size": 24, "run.tensorboard": "true"}
        sets = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
        words = ("train", "--recipe", recipe, "--ranks", ranks, *sets)
        done = here(*words) if ranks == "1" else trainer(*words)
        assert done.returncode == 0, done.stderr
        at_its_end = json.loads((tmp_path / recipe / "evaluation/test-best.json").read_text())
        done = here("evaluate", f"{tmp_path}/{recipe}", "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert at_its_end["confusion"] == found["confusion"]
        assert at_its_end["weights_sha256"] == found["weights_sha256"]
        assert at_its_end["loss"] == pytest.approx(found["loss"], abs=1e-5)
        assert (tmp_path / recipe / "report/index.html").read_text().count("predicted as") >= 1
        assert_events_are_the_metrics(tmp_path / recipe)
        confusion = np.array(found["confusion"])
        assert confusion.shape == (FOODS, FOODS)
        assert confusion.sum(1).tolist() == [2] * FOODS
        assert found["top1"] == pytest.approx(np.trace(confusion) / confusion.sum(), abs=1e-6)
        assert found["top1"] <= found["top5"] <= 1

    done = here("compare", f"{tmp_path}/food-1", f"{tmp_path}/food-2", "--format", "csv")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(rows) == 2
    assert {"run", "parameters", "top 1", "top 5", "time"} <= set(rows[0])


def assert_events_are_the_metrics(run: Path) -> None:
    """TensorFlow's own reader finds in the event files what metrics.csv says."""
    import tensorflow as tf

    history = list(csv.DictReader(io.StringIO((run / "metrics.csv").read_text())))
    for name, prefix in (("train", ""), ("validation", "val_")):
        (file,) = (run / "tensorboard" / name).iterdir()
        first, *events = tf.compat.v1.train.summary_iterator(str(file))
        assert first.file_version == "brain.Event:2"
        assert [event.step for event in events] == [0, 1]
        for event, row in zip(events, history, strict=True):
            values = {value.tag: value.simple_value for value in event.summary.value}
            assert values["epoch_loss"] == pytest.approx(float(row[f"{prefix}loss"]), rel=1e-6)
            assert values["epoch_accuracy"] == pytest.approx(float(row[f"{prefix}accuracy"]), rel=1e-6)
            assert ("epoch_learning_rate" in values) is (name == "train")


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_cars_resnet152_from_a_legacy_file_of_its_names(sample_data: Path, tmp_path: Path) -> None:
    """A few steps at 224 pixels, with the head swapped; the classes are the names of cars_meta.mat."""
    from trainer import models

    source = used(models.build("resnet152-scale", (32, 32, 3), 1000))
    (tmp_path / "resnet152_weights_tf.h5").write_bytes(legacy_file(legacy_layers(source)))
    kernel = source.get_layer("conv1").get_weights()[0]
    cars = tmp_path / "cars"
    (cars / "cars_train").mkdir(parents=True)
    for name in ("cars_meta.mat", "cars_train_annos.mat"):
        shutil.copy(sample_data / "stanford-cars-subset" / name, cars)
    for image in sorted((sample_data / "stanford-cars-subset/cars_train").glob("*.jpg"))[:24]:
        shutil.copy(image, cars / "cars_train")
    words = ("--image-size", "224", "--validation", "0")
    done = trainer("prepare", str(cars), f"{tmp_path}/data", *words)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "data/dataset.json").read_text())

    values = {"data.url": f"{tmp_path}/data", "run.url": f"{tmp_path}/run", "train.epochs": 1}
    values |= {"train.batch_size": 8}
    values |= {"model.weights": f"{tmp_path}/resnet152_weights_tf.h5", "model.freeze": "conv1"}
    sets = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
    done = trainer("train", "--recipe", "cars-resnet152", *sets, timeout=1200)
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    classes = len(manifest["classes"])
    assert f"randomly initialised: fc8 ((2048, 1000) in the file, (2048, {classes}) in the network)" in said
    with h5py.File(tmp_path / "run/weights/last.weights.h5") as file:
        np.testing.assert_array_equal(file["layers/conv2d/vars/0"][()], kernel)

    image = min((cars / "cars_train").glob("*.jpg"))
    done = trainer("predict", str(image), "--run", f"{tmp_path}/run")
    assert done.returncode == 0, done.stderr
    assert any(name in done.stdout for name in manifest["classes"])
    assert any(name.startswith("Audi ") for name in manifest["classes"]), "as in cars_meta.mat"
