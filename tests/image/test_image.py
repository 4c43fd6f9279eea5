"""The image as a careful cluster runs it: a read-only root, no capabilities, a user that it does not know.

Skipped where the image is not there: `scripts/image build cpu` makes it. Needs root, as buildah's mounts do.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from scripts.quickstart import write_digits
from trainer import __version__
from trainer.preparation.prepare import prepare

SCRIPT = Path(__file__).parents[2] / "scripts" / "image"
IMAGE = os.environ.get("IMAGE", f"docker.io/library/cars-trainer:{__version__}")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", autouse=True)
def image() -> None:
    if os.geteuid() or not shutil.which("buildah"):
        pytest.skip("needs root and buildah")
    if subprocess.run(["buildah", "inspect", "--type", "image", IMAGE], capture_output=True).returncode:
        pytest.skip(f"there is no image {IMAGE}: scripts/image build cpu")


@pytest.fixture(scope="module")
def variant() -> str:
    words = [
        "buildah",
        "inspect",
        "--type",
        "image",
        "--format",
        '{{index .OCIv1.Config.Labels "cars-trainer.variant"}}',
    ]
    return subprocess.run([*words, IMAGE], capture_output=True, text=True, check=True).stdout.strip()


def test_the_image_is_small(variant: str, say: Callable[[str], None]):
    said = subprocess.run([SCRIPT, "size"], capture_output=True, text=True, check=True).stdout
    say(said.strip())
    assert int(said.split()[0]) <= {"cpu": 1500, "gpu": 6000}[variant]


def test_one_rank_exchanges_and_only_the_gpu_image_has_nccl(variant: str):
    code = (
        "import tensorflow as tf, keras, h5py, boto3, horovod.tensorflow as hvd; "
        "hvd.init(); total = hvd.allreduce(tf.constant([1.0, 2.0]), op=hvd.Sum); "
        "print(total.numpy().tolist(), bool(hvd.nccl_built()))"
    )
    said = subprocess.run(
        [SCRIPT, "run", "--entrypoint", "python", "-c", code], capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.split("\n")[-2] == f"[1.0, 2.0] {variant == 'gpu'}"


def test_nothing_in_it_compiles():
    code = (
        "import pathlib, shutil; names = 'cc gcc g++ c++ cc1plus ld as make cmake nvcc cicc uv'.split(); "
        "print([n for n in names if shutil.which(n)], [str(p) for n in ('nvcc', 'cicc', 'cc1plus', '*.hpp') "
        "for p in pathlib.Path('/opt').rglob(n)])"
    )
    said = subprocess.run(
        [SCRIPT, "run", "--entrypoint", "python", "-c", code], capture_output=True, text=True
    )
    assert said.stdout == "[] []\n", said.stdout + said.stderr


def test_two_ranks_train_on_one_core_and_write_to_volumes_alone(say: Callable[[str], None], tmp_path: Path):
    data = tmp_path / "data"
    data.mkdir()
    images = write_digits(tmp_path / "digits")
    prepare(str(images / "train"), str(data / "digits"), validation=0.1)
    run = {
        "recipe": "digits",
        "data": {"url": "/data/digits"},
        "train": {"epochs": 2},
        "run": {"url": "/data/run"},
    }
    (data / "run.yaml").write_text(yaml.safe_dump(run))
    for path in (data, *data.rglob("*")):
        path.chmod(0o777)
    first = None
    began = time.monotonic()
    core = str(min(os.sched_getaffinity(0)))
    with subprocess.Popen(
        ["taskset", "-c", core, SCRIPT, "run", "supervise", "--config", "/data/run.yaml", "--ranks", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "MOUNTS": f"{data}:/data"},
    ) as process:
        assert process.stdout
        said = []
        for line in process.stdout:
            said.append(line)
            if first is None and re.search(r"first step finished", line):
                first = time.monotonic() - began
    assert process.returncode == 0, "".join(said)
    assert first is not None
    say(f"two ranks on one core: the first step after {first:.1f} s, mounting included")
    assert (data / "run" / "weights" / "best.weights.h5").stat().st_uid >= 20000


def test_what_the_image_says_of_itself():
    words = ["buildah", "inspect", "--type", "image", "--format"]
    shape = "{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}} {{.OCIv1.Config.Cmd}}"
    said = subprocess.run([*words, shape, IMAGE], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["10001:10001", "[trainer]", "[supervise]"]
    labels = subprocess.run(
        [*words, "{{.OCIv1.Config.Labels}}", IMAGE], capture_output=True, text=True
    ).stdout
    for name in ("title", "version", "revision", "licenses"):
        assert f"org.opencontainers.image.{name}:" in labels
