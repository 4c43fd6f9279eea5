"""A network is given the same numbers for an image by `trainer predict`, by `trainer evaluate`, in the
validation of a training, and by the lines of Python in the model card."""

import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from trainer.config import parse
from trainer.config.types import Standardize
from trainer.dataset.dataset import Dataset, Encoding
from trainer.dataset.open_dataset import open_dataset
from trainer.dataset.reading.reader import Reader
from trainer.distribution.single import Single
from trainer.evaluation import evaluate
from trainer.images.codec import Resize
from trainer.inference.network import Network
from trainer.inference.predictor import Predictor
from trainer.inference.sources import dataset_images, image, paths
from trainer.preparation.prepare import prepare
from trainer.runs.layout import CLASSES, KERAS_MODEL, file_name
from trainer.runs.run_document import RunDocument
from trainer.storage import open_store
from trainer.training.data import RankData
from trainer.training.results.card import usage
from trainer.training.run_plan import RunPlan, make_plan

NAMES = ["a", "b", "c", "d", "e"]
PREPARED = (24, 32)
SIZES = {"stored": None, "larger": (36, 48), "smaller": 12, "of another form": (30, 20)}
RESIZES = get_args(Resize)
TURNS = range(1, 9)


def picture(height: int, width: int) -> Image.Image:
    """No two parts of it look alike, at any size."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    channels = [np.sin(9 * x + 4 * y), np.cos(7 * x * y), np.sin(30 * y) * np.cos(23 * x)]
    noise = np.random.default_rng(1).normal(0, 12, (height, width, 3))
    return Image.fromarray(np.clip(np.stack(channels, -1) * 90 + 128 + noise, 0, 255).astype(np.uint8))


def saved(path: Path, shown: Image.Image, turn: int = 1, **options: Any) -> str:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    shown.save(path, exif=exif, **options)
    return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Of every kind that a camera, a browser or a painter makes."""
    folder = tmp_path_factory.mktemp("files")
    found = []
    sides = {
        "small": (30, 41),
        "enlarged": (11, 9),
        "twice": (96, 150),
        "at-an-edge": (192, 259),
        "8": (401, 650),
    }
    for name, (height, width) in sides.items():
        found += [saved(folder / f"{name}-{turn}.jpg", picture(height, width), turn) for turn in TURNS]
    shown = picture(61, 47)
    grey = Image.fromarray(np.asarray(shown, np.uint16)[..., 0] * 251)
    for turn in (1, 6):
        for kind, size in product(("CMYK", "L"), ((61, 47), (400, 300))):
            found.append(saved(folder / f"{kind}-{size[0]}-{turn}.jpg", picture(*size).convert(kind), turn))
        found.append(saved(folder / f"16-bit-{turn}.png", grey, turn))
        for mode in ("P", "RGBA", "LA", "1"):
            found.append(saved(folder / f"{mode}-{turn}.png", _translucent(shown).convert(mode), turn))
        found.append(saved(folder / f"turned-{turn}.webp", shown, turn, lossless=True))
    saved(folder / "two.mpo", picture(300, 400), 6, save_all=True, append_images=[picture(300, 400)])
    found.append(str((folder / "two.mpo").rename(folder / "mpo.jpg")))
    saved(folder / "16-bit.tif", grey)
    frames = [picture(61, 47), picture(61, 47).rotate(180)]
    for name in ("moving.gif", "moving.webp"):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
    Image.new("L", (3, 500), 77).save(folder / "narrow.png")
    return [
        *found,
        *(str(folder / name) for name in ("16-bit.tif", "moving.gif", "moving.webp", "narrow.png")),
    ]


def _translucent(shown: Image.Image) -> Image.Image:
    alpha = Image.fromarray(np.linspace(0, 255, shown.width * shown.height).reshape(61, 47).astype(np.uint8))
    whole = shown.copy()
    whole.putalpha(alpha)
    return whole


@cache
def network(*shape: int) -> keras.Model:
    """Each pixel has a weight of its own, so that all of them matter, and none so much that floats round."""
    weights = keras.initializers.RandomNormal(stddev=4, seed=5)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Flatten(),
            layers.UnitNormalization(),
            layers.Dense(len(NAMES), "softmax", kernel_initializer=weights),
        ]
    )


def run_of(
    resize: str = "squash",
    size: Any = None,
    standardize: str = "x/127.5-1",
    prepared: tuple[int, ...] = PREPARED,
    channels: int = 3,
    encoding: str = "raw",
) -> RunDocument:
    values = {
        "data": {"url": "data", "image_size": size, "standardize": standardize},
        "model": {"name": "lab-cnn"},
        "run": {"url": "run"},
    }
    sides = (size, size) if isinstance(size, int) else size or prepared
    pixels = {"mean": [101.5, 99.25, 88.125][:channels], "std": [61.5, 59.0, 70.25][:channels]}
    made = {"shape": (*prepared, channels), "resize": resize, "encoding": encoding}
    return RunDocument({}, parse(values), NAMES, (*sides, channels), pixels, prepared=made)


def predictor(run: RunDocument, batch_size: int = 128) -> Predictor:
    built = Network("run", run, "best", "", lambda: network(*run.image_shape))
    return Predictor(built, batch_size)


def predicted(run: RunDocument, files: list[str]) -> np.ndarray:
    """As `trainer predict` does."""
    source = paths.Paths("files", [], open_store("/"), run, allow_private=False)
    found = list(source.read(image.Task(0, image.Image(name)) for name in files))
    assert not [one.problem for one in found if one.problem]
    return predictor(run).probabilities(np.stack([one.image for one in found if one.image is not None]))


@pytest.fixture
def by_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[RunDocument, list[str]], np.ndarray]:
    """Runs the card's lines as they are, and then for files."""
    monkeypatch.chdir(tmp_path)
    Path(file_name(CLASSES)).write_text(json.dumps(NAMES))

    def probabilities(run: RunDocument, files: list[str]) -> np.ndarray:
        monkeypatch.setattr(
            keras.saving, "load_model", {file_name(KERAS_MODEL): network(*run.image_shape)}.get
        )
        Path("image.jpg").write_bytes(Path(files[0]).read_bytes())
        names: dict[str, Any] = {}
        with redirect_stdout(io.StringIO()) as said:
            exec(usage(run), names)
        assert said.getvalue().splitlines()[-1].startswith("image.jpg "), said.getvalue()
        read = np.stack([names["read"](file) for file in files])
        assert read.dtype == np.float32
        found: np.ndarray = names["model"].predict(read, verbose=0)
        np.testing.assert_allclose(names["probabilities"], found[:1], atol=1e-6)
        return found

    return probabilities


@pytest.mark.parametrize("encoding", get_args(Encoding))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resize", RESIZES)
def test_the_card_predicts_as_the_trainer_does(
    resize: str, size: str, encoding: str, files: list[str], by_card: Callable[..., np.ndarray]
) -> None:
    run = run_of(resize, SIZES[size], encoding=encoding)
    expected, found = predicted(run, files), by_card(run, files)
    differ = {Path(file).name: gap for file, gap in zip(files, np.abs(expected - found).max(1), strict=True)}
    assert {name: float(gap) for name, gap in differ.items() if gap > 1e-6} == {}
    assert np.ptp(expected, axis=0).max() > 0.2, "the images look different to the network"


@pytest.mark.parametrize("standardize", get_args(Standardize))
def test_in_every_standardization(
    standardize: str, files: list[str], by_card: Callable[..., np.ndarray]
) -> None:
    run = run_of("pad", 16, standardize, prepared=(40, 40))
    np.testing.assert_allclose(by_card(run, files), predicted(run, files), atol=1e-6)


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("prepared", [(20, 20), PREPARED], ids=["square", "oblong"])
def test_of_grey_networks(
    resize: str, prepared: tuple[int, int], files: list[str], by_card: Callable[..., np.ndarray]
) -> None:
    run = run_of(resize, 16, "feature_wise", prepared, channels=1)
    np.testing.assert_allclose(by_card(run, files), predicted(run, files), atol=1e-6)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five classes of JPEG files, turned and of many sizes; the last of each is to validate."""
    folder = tmp_path_factory.mktemp("photos")
    for number, (name, split) in enumerate(product(NAMES, ("train", "train", "validation"))):
        place = folder / split / name
        place.mkdir(parents=True, exist_ok=True)
        shown = picture(70 + 31 * number, 333 - 13 * number).rotate(25 * number)
        saved(place / f"{number}.jpg", shown, 1 + number % 8, quality=90)
    return folder


@pytest.fixture(scope="module")
def datasets(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Dataset]:
    root = tmp_path_factory.mktemp("datasets")

    @cache
    def made(resize: Resize, encoding: Encoding, size: tuple[int, int] = PREPARED) -> Dataset:
        url = f"{root}/{resize}-{encoding}-{size[0]}"
        prepare(str(photos), url, resize=resize, encoding=encoding, image_size=size)
        return open_dataset(url)

    return made


@pytest.mark.parametrize("encoding", get_args(Encoding))
@pytest.mark.parametrize("resize", RESIZES)
def test_validation_evaluation_and_prediction_are_given_the_same(
    resize: Resize,
    encoding: Encoding,
    photos: Path,
    datasets: Callable[..., Dataset],
    by_card: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = datasets(resize, encoding)
    values = {
        "data": {"url": dataset.url, "image_size": [16, 40], "standardize": "feature_wise"},
        "model": {"name": "lab-cnn"},
        "train": {"batch_size": 5},
        "run": {"url": "run"},
    }
    plan = make_plan(parse(values), 1)
    run = plan.document
    validated, labels = validation(plan)
    names = [f"validation/{row:06d}" for row in range(len(labels))]
    np.testing.assert_allclose(of_rows(run, dataset, names), validated, atol=1e-6)
    assert evaluated(run, dataset, monkeypatch) == pytest.approx(loss(validated, labels), rel=1e-6)

    files = [str(photos / name) for name in dataset.split("validation").names(np.arange(len(labels)))]
    np.testing.assert_allclose(predicted(run, files), validated, atol=1e-6)
    np.testing.assert_allclose(by_card(run, files), validated, atol=1e-6)


def test_rows_of_another_shape_are_resized_as_files_are(
    datasets: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For `evaluate --dataset` and `predict --split`."""
    dataset = datasets("crop", "raw", (60, 50))
    run = run_of("pad", (16, 40))
    (batch,) = Reader(dataset, dataset.split("validation")).batches_of(range(5), 5)
    inner = [Image.fromarray(one).resize((20, 24), Image.Resampling.BILINEAR) for one in batch.images]
    padded = [ImageOps.expand(one, (6, 0)) for one in inner]
    expected = predictor(run).probabilities(np.stack([np.asarray(one) for one in padded]))
    found = of_rows(run, dataset, [f"validation/{row:06d}" for row in range(5)])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert evaluated(run, dataset, monkeypatch) == pytest.approx(loss(expected, batch.labels), rel=1e-6)


def validation(plan: RunPlan) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities and labels of a training's validation."""
    model = network(*plan.image_shape)
    with RankData(plan, Single()).evaluation("validation") as batches:
        found = [(model.predict_on_batch(b.images), b.labels.numpy(), b.weights.numpy() > 0) for b in batches]
    return (
        np.concatenate([probabilities[real] for probabilities, _, real in found]),
        np.concatenate([labels[real] for _, labels, real in found]),
    )


def of_rows(run: RunDocument, dataset: Dataset, names: list[str]) -> np.ndarray:
    """As `trainer predict --split`."""
    source = dataset_images.DatasetImages(dataset.url, "validation", run)
    found = [one.image for one in source.read(image.Task(0, image.Image(name)) for name in names)]
    return predictor(run).probabilities(np.stack([one for one in found if one is not None]))


def evaluated(run: RunDocument, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> float:
    """The loss that `trainer evaluate` measures."""
    built = Network("file:///run", run, "best", "", lambda: network(*run.image_shape))
    monkeypatch.setattr(evaluate, "network_from_run", lambda url, which: built)
    found = evaluate.evaluate("run", "validation", "best", dataset_url=dataset.url, batch_size=4)
    return float(found["loss"])


def loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())
