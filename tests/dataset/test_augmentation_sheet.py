"""`trainer augment`: a page of training images as a run will have them."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.commands import here, refused_here
from tests.trained import images
from trainer.config import RunConfig, parse
from trainer.dataset.dataset import Dataset
from trainer.dataset.inspection.augmented_rows import augmented_rows
from trainer.dataset.inspection.sample_rows import chosen_rows
from trainer.dataset.open_dataset import open_dataset
from trainer.distribution.single import Single
from trainer.preparation.prepare import prepare
from trainer.training.data import RankData
from trainer.training.run_plan import make_plan

AUGMENT = {"flip": "both", "rotate": 40, "shift": [0.2, 0.1], "contrast": 0.5, "elastic": 0.1}


def config_of(url: str, **data: Any) -> RunConfig:
    """Without a standardization, so that what the network is given can be looked at."""
    values = {
        "data": {"url": url, "standardize": "none", "augment": AUGMENT, **data},
        "model": {"name": "lab-cnn"},
        "train": {"batch_size": 20, "seed": 9},
        "run": {"url": "/no/run"},
    }
    return parse(values)


def test_it_has_the_images_of_the_training(dataset: Dataset) -> None:
    config = config_of(dataset.url, image_size=8)
    plan = make_plan(config, 1)
    rows = augmented_rows(config, dataset, images=6, epochs=[0, 1])
    columns: dict[int, list[np.ndarray]] = {row.row: [] for row in rows}
    data = RankData(plan, Single())
    order = data.plan.order
    with data.training(0) as batches:
        for step in range(2 * plan.steps_per_epoch):
            shown = next(batches).images.numpy()
            numbers = order.rows(step, plan.lanes_of(0, 1)).tolist()
            for number, pixels in zip(numbers, shown, strict=True):
                if number in columns:
                    columns[number].append(np.rint(pixels).astype(np.uint8))
    for row in rows:
        assert row.class_name == dataset.classes[int(dataset.split("train").labels[row.row])]
        assert row.images[0].shape == (8, 8, 3)
        for drawn, trained in zip(row.images[1:], columns[row.row], strict=False):
            np.testing.assert_array_equal(drawn, trained)
    assert sum(map(len, columns.values())) >= 8, "an epoch leaves a few rows out"


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_the_command_writes_a_page_or_an_image(tmp_path: Path, encoding: str) -> None:
    folder = images(tmp_path / "images", 4, "cat", "dog")
    url = prepare(str(folder), f"{tmp_path}/data", validation=0.0, test=0.0, encoding=encoding).url
    words = ["--recipe", "food-5", "--set", f"data.url={url}", "--set", "data.image_size=24"]
    page = tmp_path / "sheet.html"
    done = here("augment", *words, "--images", "3", "--draws", "5", "--output", str(page))
    assert (done.returncode, done.stdout) == (0, f"{page}\n"), done.stderr
    assert "turned by up to 90 degrees, moved by up to 20 % down or up" in done.stderr
    text = re.sub(r"<script.*?</script>", "", page.read_text(), flags=re.DOTALL)
    assert text.count("<img ") == 3 * 6
    assert re.findall(r"epoch \d", text)[-1] == "epoch 5"
    sheet = tmp_path / "sheet.png"
    assert here("augment", *words, "--draws", "2", "--epoch", "7", "--output", str(sheet)).returncode == 0
    drawn = Image.open(io.BytesIO(sheet.read_bytes()))
    assert drawn.size[0] > 3 * 112
    assert drawn.size[1] > 8 * 112
    assert not Path(tmp_path, "no-run").exists()
    refused = refused_here("augment", *words, "--output", f"{tmp_path}/sheet.pdf")
    assert "expected a file .html or .png" in refused


def test_as_many_classes_as_possible_are_shown(dataset: Dataset) -> None:
    split = open_dataset(dataset.url).split("train")
    rows = chosen_rows(split, len(dataset.classes))
    assert len(set(split.labels[rows].tolist())) == len(dataset.classes)
    assert len(chosen_rows(split, 50)) == 50
    assert len(chosen_rows(split, split.rows + 5)) == split.rows
