"""What fine-tuning brings: a backbone trained here on CIFAR-10's classes 0 to 4, tuned on 5 to 9."""

import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import yaml

from tests.training.in_process import train
from trainer.preparation.prepare import prepare

FIRST = ("airplane", "automobile", "bird", "cat", "deer")
OTHERS = ("dog", "frog", "horse", "ship", "truck")
PER_CLASS = 200
SEEDS = (1, 2, 3)
EPOCHS = 20
MODEL: dict[str, Any] = {"name": "small-resnet", "options": {"width": 16, "depth": 1}}
OPTIMIZER: dict[str, Any] = {"name": "adam", "learning_rate": 0.002}
PHASES = [
    {"epochs": 5, "freeze": "backbone", "learning_rate": 0.01},
    {"epochs": EPOCHS - 5, "learning_rate": 0.001},
]


def dataset(sample: Path, folder: Path, classes: tuple[str, ...], per_class: int) -> str:
    """The URL of a dataset of the first images of these classes, with all of their test images."""
    for name in classes:
        for split, most in (("train", per_class), ("test", None)):
            (folder / "images" / split / name).mkdir(parents=True)
            for file in sorted((sample / "cifar10-subset" / split / name).iterdir())[:most]:
                shutil.copy(file, folder / "images" / split / name)
    prepare(str(folder / "images"), f"file://{folder}/data", validation=0.1, seed=0)
    return f"file://{folder}/data"


def trained(folder: Path, data: str, model: dict[str, Any], section: dict[str, Any]) -> float:
    """The test accuracy of a run's last weights."""
    folder.mkdir()
    values = {
        "data": {"url": data, "augment": {"flip": "horizontal", "shift": 0.1}},
        "model": model,
        "train": {"batch_size": 50, "optimizer": OPTIMIZER, "warmup_epochs": 0.5} | section,
        "run": {"url": f"file://{folder}/run"},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(values))
    return train(folder / "run.yaml").last.metrics["test_accuracy"]


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_tuned_backbone_beats_random_weights(
    sample_data: Path, tmp_path: Path, say: Callable[[str], None]
) -> None:
    first = dataset(sample_data, tmp_path / "first", FIRST, 1000)
    few = dataset(sample_data, tmp_path / "few", OTHERS, PER_CLASS)
    backbone = trained(tmp_path / "backbone", first, MODEL, {"epochs": 15, "schedule": "cosine"})
    say(f"backbone, classes 0-4, 1,000 images a class: test accuracy {backbone:.3f}")
    started = MODEL | {"weights": f"file://{tmp_path}/backbone/run"}
    ways: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "random weights": (MODEL, {"epochs": EPOCHS}),
        "phases": (started, {"phases": PHASES}),
    }
    reached: dict[str, list[float]] = {name: [] for name in ways}
    for seed in SEEDS:
        for name, (model, section) in ways.items():
            section = section | {"seed": seed, "schedule": "cosine"}
            reached[name].append(trained(tmp_path / f"{name} {seed}", few, model, section))
    for name, accuracies in reached.items():
        text = ", ".join(f"{accuracy:.3f}" for accuracy in accuracies)
        say(f"{name}, classes 5-9, {PER_CLASS} images a class: {text}; mean {mean(accuracies):.3f}")
    assert min(reached["phases"]) > max(reached["random weights"])
