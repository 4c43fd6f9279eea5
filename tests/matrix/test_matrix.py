"""Every option of a run, the whole way; all of it with `-m long`, a sample by seed otherwise."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.matrix.axes import option_paths
from tests.matrix.cases import Case, cases
from tests.matrix.pairwise import covering

SAMPLE = 1
SEED = int(os.environ.get("TRAINER_MATRIX_SEED", "1"))


def sample() -> list[Case]:
    """Other cases for another TRAINER_MATRIX_SEED."""
    quick = [case for case in cases() if case.name[0].isdigit() and case.how.get("ranks", 1) == 1]
    return random.Random(SEED).sample(quick, SAMPLE)


def whole_way(case: Case, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.matrix.whole_way", case.name, str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"},
    )
    if log := os.environ.get("TRAINER_MATRIX_LOG"):
        with open(log, "a") as file:
            file.write(f"{done.stdout.splitlines()[-1]}\n")
    assert done.returncode == 0, f"{case}\n{done.stdout}\n{done.stderr[-6000:]}"
    assert json.loads(done.stdout.splitlines()[-1])["case"] == case.name


@pytest.mark.parametrize("case", sample(), ids=lambda case: case.name)
def test_a_sample_goes_the_whole_way(case: Case, tmp_path: Path) -> None:
    whole_way(case, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_every_case_goes_the_whole_way(case: Case, tmp_path: Path) -> None:
    whole_way(case, tmp_path)


def test_every_option_is_in_a_case() -> None:
    tried = set().union(*({*case.keys, *case.optimizer_arguments} for case in cases()))
    tried |= {path for path in option_paths() if any(key.startswith(f"{path}.") for key in tried)}
    tried |= {"model.weights"} if any("weights" in case.how for case in cases()) else set()
    assert sorted(option_paths() - tried) == []


def test_every_pair_of_values_is_in_a_case() -> None:
    names = {"a": list("123"), "b": list("12"), "c": list("1234")}
    rows = covering(names, lambda row: not (row.get("a") == "1" and row.get("c") == "4"))
    pairs = {(one, other) for row in rows for one in row.items() for other in row.items() if one != other}
    for one in names:
        for other in names:
            for value in names[one]:
                for second in names[other]:
                    if one < other and (one, value, other, second) != ("a", "1", "c", "4"):
                        assert ((one, value), (other, second)) in pairs
    assert len(rows) < 3 * 2 * 4
