"""The gang's protocol in a world of faults: what it promises holds in every schedule.

A failure names its seed: `play(seed, pods)` plays it again.
"""

from collections.abc import Iterator

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.schedules import play, simulated
from tests.simulation.world import Violation

FIRST_SEEDS = {"replaced supervisors are heard": 200, "a coordinator ignores the others' tokens": 110}
"""Where the search for rare errors begins, so that the tests are short."""


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    with simulated():
        yield


def play_many(schedules: int, pods: int, first: int = 0) -> None:
    for seed in range(first, first + schedules):
        play(seed, pods)


@pytest.mark.parametrize(("pods", "schedules"), [(2, 100), (3, 400), (5, 60), (48, 1)])
def test_what_is_promised_holds(pods: int, schedules: int) -> None:
    play_many(schedules, pods)


@pytest.mark.long
@pytest.mark.timeout(86400)
@pytest.mark.parametrize(
    ("pods", "schedules"), [(2, 200_000), (3, 600_000), (4, 100_000), (7, 100_000), (64, 20), (256, 2)]
)
def test_in_a_million_schedules(pods: int, schedules: int) -> None:
    play_many(schedules, pods, first=1_000_000)


def test_a_seed_plays_the_same_again() -> None:
    first, again = play(7), play(7)
    assert first.world.log == again.world.log
    assert first.world.log


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_error_is_found(name: str) -> None:
    with MUTANTS[name](), pytest.raises(Violation):
        play_many(400, 3, first=FIRST_SEEDS.get(name, 0))
