"""Damaged HDF5 files and images: no crash, no hang, bounded memory, and one clear error each, or images."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.preparation.hdf5.mutations import mutations
from trainer.errors import DataError
from trainer.images.codec import decode_image
from trainer.preparation.hdf5 import process
from trainer.preparation.hdf5.index_hdf5 import index_hdf5


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.long)])
@pytest.mark.timeout(600)
def test_hdf5_files(count: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.preparation.hdf5.fuzz", "0", str(count), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, check=True)
    told = json.loads(done.stdout)
    assert set(told["found"]) <= {"read", "refused", "crashed"}, told
    assert sum(told["found"].values()) == count
    assert min(told["found"]["read"], told["found"]["refused"]) > count / 20
    assert told["most MiB"] < 1000


@pytest.mark.parametrize("count", [1600, pytest.param(10_000, marks=pytest.mark.long)])
@pytest.mark.timeout(600)
def test_images(count: int) -> None:
    draw = np.random.default_rng(0)
    image = Image.fromarray(draw.integers(0, 256, (24, 32, 3), np.uint8))
    kinds = ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM"]
    read, said = 0, set()
    for seed, kind in enumerate(kinds):
        buffer = io.BytesIO()
        image.save(buffer, kind)
        for damaged in mutations(buffer.getvalue(), seed, count // len(kinds)):
            try:
                pixels = decode_image(damaged, size=(16, 16))
            except DataError as error:
                said.add(len(str(error).splitlines()))
            else:
                assert pixels.shape == (16, 16, 3)
                read += 1
    assert count / 20 < read < count
    assert said == {1}


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "the HDF5 library ended with SIGSEGV"),
        ("os._exit(3)", "the HDF5 library ended with code 3"),
        ("time.sleep(60)", "reading it did not end in 2 s"),
        ("bytearray(child.MEMORY_BYTES)", "HDF5 needs over 4 GiB for it"),
    ],
)
def test_however_the_process_ends_it_is_one_error(
    ends: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crashing.py").write_text(
        "import os, signal, time\n"
        "from trainer.preparation.hdf5 import child\n"
        f"child.answer = lambda question, folder: {ends}\n"
        "child.main()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(process, "CHILD", "crashing")
    monkeypatch.setattr(process, "CHILD_SECONDS", 2)
    (tmp_path / "a.h5").write_bytes(b"")
    with pytest.raises(DataError, match=said):
        index_hdf5(str(tmp_path / "a.h5"))
