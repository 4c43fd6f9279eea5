"""scripts/env and scripts/horovod: what is refused, with how many compilers, and what is compiled again."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHANGES = ["pyproject.toml", "uv.lock", "scripts/horovod", "scripts/env", "scripts/include"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what decides how Horovod is compiled, to change."""
    for name in CHANGES:
        place = tmp_path / "checkout" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, place)
    return tmp_path / "checkout"


def asked(checkout: Path, **environment: str) -> dict[str, str]:
    """The environment that uv would get, and its last argument as `build`."""
    uv = checkout / "uv"
    uv.write_text('#!/bin/sh\nenv\necho "build=${@##*build=}"\n')
    uv.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "CXXFLAGS", "CXX")}
    said = subprocess.run(
        [checkout / "scripts" / "horovod", "cpu", str(checkout / "environment"), str(uv), "sync"],
        env={**kept, **environment},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    return dict(line.split("=", 1) for line in said.stdout.splitlines() if "=" in line)


def build(checkout: Path) -> str:
    return asked(checkout)["build"].split()[-1]


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert re.search(old, text)
    path.write_text(re.sub(old, new, text, count=1))


def test_all_cores_are_used_and_no_more_than_the_memory_allows(checkout: Path):
    jobs = int(asked(checkout)["MAKEFLAGS"].removeprefix("-j"))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 1 <= jobs <= min(len(os.sched_getaffinity(0)), max(1, memory // 1_700_000_000))


def test_flags_of_the_user_are_kept(checkout: Path):
    environment = asked(checkout, CXXFLAGS="-O1 -g", MAKEFLAGS="-j3")
    assert environment["CXXFLAGS"].split() == ["-include", "horovod-0.28.1.h", "-O1", "-g"]
    assert environment["MAKEFLAGS"] == "-j3"


def test_a_new_version_of_the_project_compiles_nothing_again(checkout: Path):
    before = build(checkout)
    change(checkout / "pyproject.toml", r'\nversion = "[^"]*"', '\nversion = "9.9.9"')
    change(checkout / "uv.lock", r'(name = "cars-trainer"\n)version = "[^"]*"', r'\1version = "9.9.9"')
    assert build(checkout) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("uv.lock", r'(name = "tensorflow-cpu"\n)version = "[^"]*"', r'\1version = "2.99.0"'),
        ("scripts/include/horovod-0.28.1.h", "#pragma once", "#pragma once\n#include <map>"),
        ("scripts/horovod", "HOROVOD_WITH_GLOO=1", "HOROVOD_WITH_GLOO=0"),
    ],
)
def test_what_it_is_compiled_from_compiles_it_again(checkout: Path, name: str, old: str, new: str):
    before = build(checkout)
    change(checkout / name, old, new)
    assert build(checkout) != before


def refused(words: list[str], path: Path) -> str:
    said = subprocess.run(
        words, env={"PATH": str(path), "HOME": str(path)}, capture_output=True, text=True, executable=words[0]
    )
    assert said.returncode == 64, said.stderr
    return said.stderr


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A PATH with what scripts start with, and neither Python nor a compiler."""
    path = tmp_path / "bin"
    path.mkdir()
    for name in ("bash", "env", "dirname", "cat"):
        found = shutil.which(name)
        assert found
        (path / name).symlink_to(found)
    return path


def test_without_a_compiler_one_line_names_the_package(bare: Path):
    said = refused([str(ROOT / "scripts" / "horovod"), "cpu", "/nowhere", "uv", "sync"], bare)
    assert said.count("\n") == 1
    assert "apt-get install g++" in said


def test_another_python_is_refused_and_named(bare: Path):
    python = bare / "python3"
    python.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.10.12\nexit 1\n')
    python.chmod(0o755)
    said = refused([str(ROOT / "scripts" / "env")], bare)
    assert "expected Python 3.11, 3.12 or 3.13, found Python 3.10.12" in said


def test_an_unknown_variant_is_refused():
    said = subprocess.run([ROOT / "scripts" / "env", "tpu"], capture_output=True, text=True)
    assert said.returncode == 64
    assert "expected cpu or gpu, received 'tpu'" in said.stderr
