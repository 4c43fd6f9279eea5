"""What a run will do is checked before anything expensive."""

from typing import Any

import pytest

from trainer.config import load
from trainer.errors import ConfigError
from trainer.training.plan import make_plan


def plan(digits: str, ranks: int = 1, **train: Any):
    sets = [f"data.url={digits}", "run.url=/run", *(f"train.{key}={value}" for key, value in train.items())]
    return make_plan(load(recipe="digits", sets=sets), ranks)


def test_a_micro_batch_of_more_lanes_than_a_batch_has_is_refused(digits: str):
    with pytest.raises(ConfigError, match="at most the 50 lanes of a batch of 100, received 1000"):
        plan(digits, batch_size=100, micro_batch=1000)
    assert plan(digits, batch_size=100, micro_batch=50).micro_rows == 100


@pytest.mark.parametrize(("ranks", "lanes"), [(1, 32), (2, 16), (3, 11), (32, 1)])
def test_no_rank_computes_more_lanes_at_once_than_it_has(digits: str, ranks: int, lanes: int):
    assert plan(digits, ranks, micro_batch=32).micro_lanes == plan(digits, ranks).micro_lanes == lanes
