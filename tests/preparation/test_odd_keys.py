"""Images in a bucket whose keys have empty parts, or are as long as S3 allows."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import client
from trainer.dataset.open_dataset import open_dataset
from trainer.errors import DataError
from trainer.preparation.prepare import prepare

LONG = "/".join(["n" * 240] * 4)


@pytest.mark.parametrize(
    "form", ["{}//{}.png", "{}/a//{}.png", f"{{}}/{LONG}/{{}}.png"], ids=["empty", "deeper", "long"]
)
def test_a_class_is_the_first_folder(s3: str, moto: str, tmp_path: Path, form: str) -> None:
    expected: set[tuple[str, str]] = set()
    for name in ("cat", "dog"):
        for number in range(5):
            content = io.BytesIO()
            Image.new("RGB", (16, 16), (number, len(expected), 0)).save(content, "PNG")
            key = form.format(name, number)
            client(moto).put_object(
                Bucket=s3.removeprefix("s3://"), Key=f"source/{key}", Body=content.getvalue()
            )
            expected.add((key, name))
    prepared = prepare(f"{s3}/source", f"file://{tmp_path}/dataset")
    assert prepared.classes == ("cat", "dog")
    dataset = open_dataset(prepared.url)
    found = {
        (name, prepared.classes[label])
        for split in dataset.splits.values()
        for name, label in zip(split.names(np.arange(split.rows)), split.labels, strict=True)
    }
    assert found == expected


def test_a_first_folder_without_a_name_is_one_clear_error(s3: str, moto: str, tmp_path: Path) -> None:
    client(moto).put_object(Bucket=s3.removeprefix("s3://"), Key="source//cat/1.png", Body=b"x")
    with pytest.raises(DataError, match=rf"received the key {s3}/source//cat/1\.png"):
        prepare(f"{s3}/source", f"file://{tmp_path}/dataset")
    assert not (tmp_path / "dataset").exists()
