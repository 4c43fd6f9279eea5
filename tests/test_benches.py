"""Each benchmark still runs and has its keys: one round, whose figures mean nothing."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.benches import sizing
from scripts.benches.__main__ import NAMES
from scripts.benches.goodput import MINUTES

ROOT = Path(__file__).parents[1]
KEYS = {
    "data": {"cold_sequential/h5py_s3fs", "cold_shuffled/cold_sequential", "warm_cpu/tfrecord_cpu"},
    "accelerators": {"h100s_fed", "h100s_fed_jpeg", "first_batch_after_restore_s"},
    "plan": {"index_open_s", "index_mb", "order_s"},
    "gang": {"form_s", "mb", "busy", "single_form_s"},
    "checkpoint": set(),
    "train": {"resnet50/keras_fit", "lab/keras_fit", "observability_share"},
    "scaling": {
        f"{network} {key}"
        for network in ("resnet50", "lab")
        for key in ("cpu_per_image_1/cpu_per_image_2", "wall_two/one", "exchange_share", "predicted/measured")
    },
    "exact": {
        f"{network} {key}"
        for network in ("resnet50", "lab")
        for key in ("1 rank exact/float", "2 ranks exact_wall/float_wall", "bytes int64/float32")
    },
    "predict": {"whole/bare_predict", "read_decode/whole", "whole/slower_of_decode_and_model"},
    "recovery": {
        f"{killed}_{part}"
        for killed in ("rank", "spare", "supervisor")
        for part in ("notice", "keep", "join", "init", "broadcast", "first_step", "next_step", "whole")
    },
    "goodput": {"goodput", "kills", "lost", "recovering"},
}


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", NAMES)
def test_a_round(name: str, versitygw: str, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [f"{ROOT}/scripts/bench", name, "--rounds", "1", "--json", str(file)]
    environment = os.environ | {MINUTES: "1.5"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert found["ratios"].keys() >= KEYS[name]
    assert all(found["ratios"][key] is not None for key in KEYS[name])


PARTS = sizing.Parts(
    device_seconds=0.1,
    device_rows=256,
    exchange_bytes=100e6,
    pod_bandwidth=200e9,
    network_bandwidth=12.5e9,
    latency=0.0,
    image_bytes=150_528,
    store_bandwidth=10e9,
    reader_images=4000,
)


def test_the_model_of_scaling() -> None:
    alone = sizing.predict(PARTS, 1, 1)
    assert (alone.images_per_second, alone.bound, alone.efficiency) == (2560, "devices", 1)
    assert sizing.exchange_seconds(PARTS, 2, 1) == pytest.approx(100e6 / 12.5e9)
    assert sizing.exchange_seconds(PARTS, 1, 2) == pytest.approx(100e6 / 200e9)
    many = sizing.predict(PARTS, 4, 8)
    assert many.bound == "store"
    assert many.images_per_second == pytest.approx(10e9 / 150_528)
    assert sizing.predict(replace(PARTS, reader_images=1000), 1, 8).bound == "readers"
