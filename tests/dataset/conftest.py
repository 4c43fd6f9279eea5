"""Small datasets of made-up images, prepared for real."""

import pytest

from tests.datasets import make_folders
from trainer.dataset.dataset import Dataset
from trainer.dataset.open_dataset import open_dataset
from trainer.preparation.prepare import prepare


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """600 images of 5x4 in three classes, in many small chunks and shards."""
    root = tmp_path_factory.mktemp("dataset")
    make_folders(root / "images", {"cat": 300, "dog": 200, "owl": 100})
    prepare(
        str(root / "images"), str(root / "made"), shard_bytes=6000, rows_of_chunk=7, validation=0.2, test=0.1
    )
    return open_dataset(str(root / "made"))
