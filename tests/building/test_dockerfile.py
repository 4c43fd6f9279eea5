"""What Dockerfile.gpu promises, as far as its text shows it; tests/image looks at what was built."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

DOCKERFILE = (Path(__file__).parents[2] / "Dockerfile.gpu").read_text()
STAGES = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)


def stage(name: str) -> str:
    return next(text for text in STAGES if text.splitlines()[0].endswith(f" AS {name}"))


def test_the_base_is_a_release_and_takes_a_digest():
    assert re.search(
        r"^ARG BASE=docker\.io/library/python:3\.\d+-slim-(bookworm|trixie)$", DOCKERFILE, re.MULTILINE
    )
    assert re.search(r"^ARG BASE_DIGEST=$", DOCKERFILE, re.MULTILINE)


def test_there_is_no_other_base():
    """Above all none of CUDA's: nvcc is a package of the lock."""
    named = {text.split()[0] for text in STAGES[1:]}
    stages = {match[1] for text in STAGES[1:] if (match := re.match(r"\S+ AS (\S+)", text))}
    assert named - stages == {"${BASE}${BASE_DIGEST:+@}${BASE_DIGEST}"}


def test_a_new_version_of_the_project_changes_nothing_that_compiles():
    assert "pyproject.toml" in stage("lists")
    for text in (stage("tools"), stage("libraries")):
        assert not re.search(r"^COPY .*(pyproject|uv\.lock|trainer trainer|README)", text, re.MULTILINE)


def test_the_image_installs_nothing_into_its_base():
    assert "RUN" not in STAGES[-1]
    assert "apt-get" not in STAGES[-1]
