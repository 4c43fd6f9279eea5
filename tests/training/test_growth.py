"""More pods than a run has lanes for: a start is refused, a run that is under way keeps its size."""

import logging
import time

import pytest

from trainer.config import parse
from trainer.errors import ConfigError
from trainer.gang.polled import Polled
from trainer.training.launch import pods_within_lanes
from trainer.training.run_plan import make_plan


def values(digits: str) -> dict[str, object]:
    return {
        "data": {"url": digits},
        "model": {"name": "lab-cnn"},
        "train": {"batch_size": 60, "lanes": 6},
        "run": {"url": "s3://bucket/run"},
    }


def test_a_start_on_more_ranks_than_lanes_is_refused(digits: str):
    with pytest.raises(ConfigError, match=r"at least as many lanes as ranks \(8\), received 6"):
        make_plan(parse(values(digits)), 8)


def test_a_live_run_keeps_its_size_and_says_why_once(digits: str, caplog: pytest.LogCaptureFixture):
    plan = make_plan(parse(values(digits)), 4)
    asked = [3, 4, 4, 2]
    read = pods_within_lanes(lambda: asked.pop(0) if asked else 2, 2, plan)
    wanted = Polled(read, 2, every=0.0, description="the number of wanted pods")
    seen = []
    with caplog.at_level(logging.WARNING):
        while asked:
            seen.append(wanted())
            time.sleep(0.01)
    assert set(seen) <= {2, 3}
    (line,) = caplog.messages
    assert line.startswith("the number of wanted pods stays 3: train.lanes: expected at least as many lanes")
    assert "(8), received 6" in line
