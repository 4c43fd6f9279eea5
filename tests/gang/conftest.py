"""Pods as processes, gone at the end of a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gang.gangs import Run, wait_for


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    run.close()
    wait_for(lambda: not run.living(), "the ranks are gone with their pods")
