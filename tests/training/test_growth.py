"""More pods than a run has lanes for: a start is refused, a run that is under way keeps its size."""

import logging
import time

import pytest

from trainer.config import parse
from trainer.errors import ConfigError
from trainer.gang.pods import Pods
from trainer.gang.polled import Polled
from trainer.runs.layout import COMMIT, Attempt
from trainer.storage import ObjectInfo
from trainer.training.launch import gang_policy, pods_within_lanes, within_lanes
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


@pytest.mark.parametrize(
    ("train", "elastic", "wait"),
    [
        ({}, True, 20.0),
        ({"deterministic": True}, False, 20.0),
        ({"exact": True, "micro_batch": 2}, True, 0.0),
    ],
)
def test_only_runs_whose_bits_depend_on_the_number_of_ranks_wait_for_all(
    digits: str, train: dict[str, object], elastic: bool, wait: float
):
    given = values(digits)
    policy = gang_policy(parse({**given, "train": {**given["train"], **train}}))  # type: ignore[dict-item]
    assert (policy.elastic, policy.wait, policy.min_ranks) == (elastic, wait, None)
    assert policy.give_up_after == 1800


class Begun:
    """A run's folder, which has a checkpoint or not."""

    url = "memory://run"

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys

    def get(self, key: str) -> bytes:
        raise FileNotFoundError(key)

    def list(self, prefix: str = "") -> list[ObjectInfo]:
        return [ObjectInfo(key, 1, "") for key in self.keys if key.startswith(prefix)]


def test_too_many_pods_are_refused_at_the_start_and_never_end_a_run(
    digits: str, caplog: pytest.LogCaptureFixture
):
    plan = make_plan(parse(values(digits)), 2)
    gang = Pods(index=3, count=4, coordinator="pod-0", wanted_pods=lambda: 4)
    with pytest.raises(ConfigError, match=r"at least as many lanes as ranks \(8\), received 6"):
        within_lanes(gang, 2, plan, Begun([]))  # type: ignore[arg-type]
    begun = Begun([Attempt(5, 1, "uid").key(COMMIT)])
    fitting = within_lanes(gang, 2, plan, begun)  # type: ignore[arg-type]
    assert fitting.count == 3, "pod 3 waits"
    assert fitting.wanted_pods
    with pytest.raises(ConfigError):
        fitting.wanted_pods()
    (line,) = caplog.messages
    assert line.endswith("received 6; this run has begun, so 3 pods of 4 train")


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
    assert "(8), received 6. Set workers to at most 3" in line
