"""The package installs beside others; the lock alone is exact."""

import tomllib
from itertools import chain
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKED = {package["name"] for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}


def requirements() -> list[str]:
    return [*PROJECT["dependencies"], *chain.from_iterable(PROJECT["optional-dependencies"].values())]


@pytest.mark.parametrize("requirement", sorted(set(requirements())))
def test_a_dependency_is_a_range_from_a_version_that_was_tried(requirement: str):
    assert "==" not in requirement
    assert ">=" in requirement


def test_the_lock_holds_every_dependency():
    names = {requirement.split(">=")[0].split("[")[0] for requirement in requirements()}
    assert names <= LOCKED


def test_python_3_11_to_3_13():
    assert PROJECT["requires-python"] == ">=3.11,<3.14"
