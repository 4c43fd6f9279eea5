"""The networks of keras.applications are trained, validated, exported and predicted with."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.application import whole_way
from trainer.config.applications import APPLICATIONS


def test_one_of_them_goes_the_whole_way(tmp_path: Path) -> None:
    whole_way("keras:MobileNet", tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("name", APPLICATIONS)
def test_each_of_them_goes_the_whole_way(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.training.application", name, str(tmp_path)]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
