"""Threads follow the cores that the cgroup and the affinity allow."""

import os
from pathlib import Path

import pytest

from trainer.machine.cores import thread_environment, usable_cores

pytestmark = pytest.mark.fast


def test_the_quota_of_either_cgroup_version_counts(tmp_path: Path) -> None:
    all_cores = len(os.sched_getaffinity(0))
    assert usable_cores(tmp_path) == all_cores
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("50000\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores(tmp_path) == 0.5
    (tmp_path / "cpu.max").write_text("75000 100000\n")
    assert usable_cores(tmp_path) == 0.75
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert usable_cores(tmp_path) == all_cores


@pytest.mark.parametrize(("ranks", "cores", "threads"), [(2, 8.0, "4"), (3, 8.0, "2"), (4, 1.5, "1")])
def test_ranks_share_the_cores(ranks: int, cores: float, threads: str) -> None:
    assert set(thread_environment(ranks, cores).values()) == {threads}
