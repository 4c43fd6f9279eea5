"""A folder of photos, as somebody has them: of real cars from a sample, or made up."""

import shutil
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from trainer.preparation.labels import find

CLASSES = 12


def car_photos(sample: Path, folder: Path, classes: int = CLASSES) -> Path:
    """FOLDER/CLASS/*.jpg of the classes with the most photos in `stanford-cars-96px.zip` of the sample."""
    source = folder / "source"
    with zipfile.ZipFile(sample / "stanford-cars-96px.zip") as archive:
        archive.extractall(source)
    for name in ("cars_train_annos.mat", "cars_meta.mat"):
        shutil.copy(next((sample / "stanford-cars-subset").rglob(name)), source)
    labelled = find(str(source), "stanford-cars")
    images = labelled.splits["train"]
    most = [label for label, _ in Counter(image.label for image in images).most_common(classes)]
    for image in images:
        if image.label in most:
            target = folder / "photos" / labelled.classes[image.label]
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / image.key, target)
    return folder / "photos"


def drawn_photos(folder: Path, count: int = 8) -> Path:
    """Photos of three classes, of different sizes: a coloured shape on noise."""
    generator = np.random.default_rng(0)
    for colour, name in (("red", "red car"), ("lime", "green car"), ("blue", "blue car #1")):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            width, height = (int(side) for side in generator.integers(70, 90, 2))
            image = Image.fromarray(generator.integers(0, 256, (height, width, 3), np.uint8))
            ImageDraw.Draw(image).rectangle((10, 20, width - 10, height - 10), fill=colour)
            image.save(folder / name / f"{number}.jpg")
    return folder
