"""The file of a network's weights, where there is no room for it."""

import subprocess
import sys
from pathlib import Path

import pytest

ON_A_SMALL_DISK = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from trainer import models
from trainer.errors import explain_os_error
from trainer.models.weights_file import weights_file

model = models.build("lab-cnn", (8, 8, 3), 10, {"n_filters": 4})
try:
    weights_file(model)
except OSError as error:
    print(explain_os_error(error).exit_code, explain_os_error(error))
"""


def test_a_full_disk_is_an_error_and_crashes_nothing(tmp_path: Path):
    """HDF5 alone ends the process with SIGSEGV."""
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]
    if subprocess.run([*namespace, f"mount -t tmpfs none {tmp_path}"], check=False).returncode:
        pytest.skip("no mounts of one's own here")
    small = f'mount -t tmpfs -o size=16k none {tmp_path}; exec "$0" -c "$1" {tmp_path}'
    done = subprocess.run(
        [*namespace, small, sys.executable, ON_A_SMALL_DISK], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"75 {tmp_path}/")
    assert "No space left on device" in done.stdout
