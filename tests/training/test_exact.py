"""Exact runs: the same bits on any number of ranks and replicas, whoever dies on the way."""

import json
import re
import signal
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from tests.commands import refused, refused_here, trainer
from tests.run_processes import Runs, interrupt
from trainer.config import load
from trainer.errors import ConfigError
from trainer.preparation.prepare import prepare
from trainer.training.data import RankData
from trainer.training.run_plan import make_plan

pytestmark = pytest.mark.slow

FILES = ("weights/last.weights.h5", "weights/best.weights.h5", "weights/model.keras", "metrics.csv")
"""What has the same bits; finished.json too, which has their checksums."""
EVERY_AUGMENTATION = {"flip": "both", "rotate": 20, "shift": 0.1, "zoom": 0.1, "brightness": 0.2}
EIGHT_GROUPS: dict[str, Any] = {"exact": True, "batch_size": 48, "lanes": 16, "micro_batch": 2, "epochs": 2}
DROPOUT = {"n_filters": 4, "n_dense_layers": 1, "n_nodes": 8, "use_dropout": True}
LAB = {"n_conv_layers": 2, "n_filters": 16}
GROUPED = {"batch_norm": "grouped"}
RECIPE_ADAM = {"name": "adam", "learning_rate": 0.01}

EVERYTHING: dict[str, Any] = {
    "data": {"augment": EVERY_AUGMENTATION, "standardize": "per_image"},
    "model": {"name": "lab-cnn", "options": DROPOUT} | GROUPED,
    "train": {
        "optimizer": {"name": "adam", "learning_rate": 0.01, "use_ema": True, "ema_momentum": 0.8},
        "class_weight": "balanced",
        "label_smoothing": 0.1,
        "reduce_lr_on_plateau": {"patience": 0, "monitor": "val_loss"},
    },
}
VARIANTS: dict[str, dict[str, Any]] = {
    "everything": EVERYTHING,
    "lab-1": {
        "model": {"name": "lab-cnn", "options": LAB | {"n_dense_layers": 0}} | GROUPED,
        "train": {"optimizer": RECIPE_ADAM},
    },
    "lab-4": {
        "model": {
            "name": "lab-cnn",
            "options": LAB | {"n_dense_layers": 1, "n_nodes": 50, "use_dropout": True},
        }
        | GROUPED,
        "train": {"optimizer": RECIPE_ADAM},
    },
    "dcnn": {
        "data": {"image_size": 32},
        "model": {"name": "dcnn", "options": {}} | GROUPED,
        "train": {"optimizer": {"name": "adam", "learning_rate": 0.001}},
    },
    "cifar-resnet": {
        "data": {"augment": {"flip": "horizontal", "shift": 0.1, "rotate": 10}},
        "model": {"name": "small-resnet", "options": {}} | GROUPED,
        "train": {
            "optimizer": {"name": "adamw", "learning_rate": 0.002, "weight_decay": 0.0005},
            "schedule": "cosine",
            "warmup_epochs": 0.5,
        },
    },
    "resnet50": {
        "data": {"image_size": 64},
        "model": {"name": "resnet50", "options": {}} | GROUPED,
        "train": {
            "epochs": 1,
            "lanes": 48,
            "micro_batch": 6,
            "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True},
        },
    },
    "bfloat16": EVERYTHING | {"train": EVERYTHING["train"] | {"precision": "mixed_bfloat16"}},
    "float16": EVERYTHING | {"train": EVERYTHING["train"] | {"precision": "mixed_float16"}},
    "xla": {
        "model": {"name": "small-resnet", "options": {"width": 4, "depth": 1, "dropout": 0.2}} | GROUPED,
        "train": {"optimizer": RECIPE_ADAM, "xla": "on"},
    },
    "accumulated": {
        "model": {"name": "lab-cnn", "options": {"n_filters": 4, "use_batch": False}},
        "train": {
            "optimizer": {"name": "sgd", "momentum": 0.9, "gradient_accumulation_steps": 2, "clipnorm": 0.5},
            "early_stopping": {"patience": 0, "restore_best_weights": True},
        },
    },
}
ONE = ("horovod", 1)
WAYS = [*(("horovod", ranks) for ranks in (2, 3, 4, 5, 8)), ("mirrored", 2), ("mirrored", 3)]


@pytest.fixture(scope="session")
def jpegs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a dataset of JPEG rows of 12x12, with three classes of unequal sizes."""
    folder = tmp_path_factory.mktemp("jpegs")
    drawn = np.random.default_rng(0)
    for colour, (name, count) in enumerate({"cat": 120, "cow": 90, "dog": 60}.items()):
        (folder / "images" / name).mkdir(parents=True)
        for number in range(count):
            pixels = drawn.integers(0, 180, (12, 12, 3)) + 25 * np.eye(3, dtype=np.int64)[colour]
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / name / f"{number}.png")
    url = f"file://{folder}/dataset"
    prepare(str(folder / "images"), url, validation=0.15, test=0.1, seed=0, encoding="jpeg")
    return url


@pytest.fixture
def jpeg_runs(tmp_path: Path, jpegs: str) -> Runs:
    return Runs(tmp_path, jpegs)


def config(runs: Runs, name: str, variant: dict[str, Any]) -> Path:
    train = EIGHT_GROUPS | variant.get("train", {})
    return runs.config(name, **(variant | {"train": train, "run": {"checkpoint": {"every": "1 steps"}}}))


def words(path: Path, strategy: str, ranks: int) -> list[str]:
    given = "--config", str(path), "--ranks", str(ranks), "--set", f"distribution.strategy={strategy}"
    return ["train", *given]


def fingerprint(path: Path) -> dict[str, str]:
    """SHA-256 of what a run left, and finished.json."""
    folder = path.parent / "run"
    found = {name: sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    return found | {"finished.json": (folder / "finished.json").read_text()}


def finish(path: Path, strategy: str, ranks: int) -> dict[str, str]:
    # Other numbers of threads in the environment change nothing.
    done = trainer(*words(path, strategy, ranks), timeout=1500, TF_NUM_INTRAOP_THREADS=str(ranks))
    assert done.returncode == 0, done.stderr
    return fingerprint(path)


def kill(path: Path, strategy: str, ranks: int, after: int) -> int:
    """SIGKILL for all of them once so many steps are committed -> how many are."""
    return interrupt(path, words(path, strategy, ranks), signal.SIGKILL, after)


def test_ranks_and_replicas_end_with_the_same_bits(jpeg_runs: Runs) -> None:
    """Dropout, grouped batch norm, JPEG rows, every augmentation, balanced classes, plateau and averages."""
    ways = (ONE, ("horovod", 3), ("mirrored", 2))
    found = [finish(config(jpeg_runs, f"{way}-{n}", EVERYTHING), way, n) for way, n in ways]
    assert found[1] == found[0]
    assert found[2] == found[0]
    metrics = json.loads(found[0]["finished.json"])["last"]["metrics"]
    assert {"loss", "val_loss", "test_loss", "test_top5_accuracy"} <= set(metrics)
    path = jpeg_runs.folder / "horovod-1" / "run.yaml"
    assert json.loads((path.parent / "run" / "run.json").read_text())["config"]["train"]["threads"] == 1
    for key, value in {"threads": "2", "micro_batch": "1"}.items():
        line = refused_here(*words(path, *ONE), "--set", f"train.{key}={value}")
        assert "already contains a different run" in line


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("train", {"micro_batch": None}, "train.exact: needs train.micro_batch, the lanes of a group"),
        ("train", {"deterministic": False}, "deterministic: expected true with exact, received false"),
        ("train", {"micro_batch": 5}, "expected 16 lanes in whole groups"),
        ("train", {"threads": 0}, "threads"),
        ("distribution", {"exchange": "float16"}, "leave distribution.exchange out, received float16"),
    ],
)
def test_what_an_exact_run_cannot_have_is_refused(
    jpeg_runs: Runs, section: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        make_plan(load(config(jpeg_runs, "refused", EVERYTHING | {section: changes})), 1)


def test_batch_norm_over_a_ranks_rows_is_refused_and_leaves_nothing(jpeg_runs: Runs) -> None:
    own = {**EVERYTHING, "model": {"name": "lab-cnn", "options": {"n_filters": 4}}}
    line = refused(*words(config(jpeg_runs, "local", own), *ONE))
    assert "train.exact: lab-cnn has the batch norm 'batch_normalization' over a rank's rows" in line
    assert not (jpeg_runs.folder / "local" / "run").exists()


def test_groups_of_an_evaluation_are_the_same_whoever_has_them(jpeg_runs: Runs) -> None:
    """Each group of places repeats its own rows."""
    plan = make_plan(load(config(jpeg_runs, "plan", EVERYTHING)), 1)
    group, rows = plan.micro_rows, plan.dataset.split("validation").rows
    assert rows % group
    whole: list[list[int]] = []
    for size, replicas in ((1, 1), (3, 1), (1, 3)):
        found: list[list[int]] = []
        for rank in range(size):
            ranks = Mock(rank=rank, size=size, replicas=replicas)
            with RankData(plan, ranks).evaluation("validation") as batches:
                for numbers, _, _, weights in batches:
                    counted = weights.numpy().reshape(-1, group).max(1) > 0
                    found += numbers.numpy().reshape(-1, group)[counted].tolist()
        whole = whole or found
        assert found == whole
    assert [row for part in whole for row in dict.fromkeys(part)] == list(range(rows))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_large_step_on_several_threads_gives_the_same_bits_each_time(jpeg_runs: Runs) -> None:
    """ResNet-50 at 224 pixels: TensorFlow plans with less memory than a group of 15 rows needs."""
    large = VARIANTS["resnet50"] | {"data": {"image_size": 224}}
    large["train"] = large["train"] | {"batch_size": 30, "lanes": 30, "micro_batch": 15, "threads": 2}
    found = [finish(config(jpeg_runs, name, large), *ONE) for name in ("one", "two", "three")]
    assert found[1] == found[0]
    assert found[2] == found[0]


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("variant", VARIANTS)
def test_any_number_of_them_ends_with_the_same_bits(jpeg_runs: Runs, variant: str) -> None:
    expected = finish(config(jpeg_runs, "one", VARIANTS[variant]), *ONE)
    for strategy, ranks in WAYS:
        path = config(jpeg_runs, f"{strategy}-{ranks}", VARIANTS[variant])
        assert finish(path, strategy, ranks) == expected, (strategy, ranks)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_that_is_killed_and_changes_its_ranks_ends_with_the_same_bits(
    jpeg_runs: Runs, variant: str
) -> None:
    """4, 2, 3 ranks, 2 replicas, then one to the end: each is killed in mid-epoch."""
    own = VARIANTS[variant] | {"train": VARIANTS[variant]["train"] | {"epochs": 4, "early_stopping": None}}
    expected = finish(config(jpeg_runs, "undisturbed", own), *ONE)
    path, step = config(jpeg_runs, "killed", own), 0
    for strategy, ranks in (("horovod", 4), ("horovod", 2), ("horovod", 3), ("mirrored", 2)):
        step = kill(path, strategy, ranks, after=step + 2)
    assert step < 16
    assert finish(path, *ONE) == expected
