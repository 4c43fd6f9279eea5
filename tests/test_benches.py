"""Each benchmark still runs and has its keys: one round, whose figures mean nothing."""

import json
import subprocess
from pathlib import Path

import pytest

from scripts.benches.__main__ import NAMES

ROOT = Path(__file__).parents[1]
KEYS = {
    "data": {"cold_sequential/h5py_s3fs", "cold_shuffled/cold_sequential", "warm_cpu/tfrecord_cpu"},
    "accelerators": {"h100s_fed", "h100s_fed_jpeg", "first_batch_after_restore_s"},
    "plan": {"index_open_s", "index_mb", "order_s"},
    "gang": {"form_s", "mb", "busy", "single_form_s"},
    "checkpoint": set(),
    "ranks": set(),
    "predict": {"whole/bare_predict", "read_decode/whole", "whole/slower_of_decode_and_model"},
}


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", NAMES)
def test_a_round(name: str, versitygw: str, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [f"{ROOT}/scripts/bench", name, "--rounds", "1", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert found["ratios"].keys() >= KEYS[name]
    assert all(found["ratios"][key] is not None for key in KEYS[name])
