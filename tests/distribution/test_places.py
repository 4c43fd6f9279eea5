"""A supervisor moves a running rank into the next generation."""

import os
from collections.abc import Iterator

import pytest

from trainer.distribution import places as module
from trainer.distribution.places import PlaceChannel, Places, places
from trainer.distribution.rank_variables import GENERATION, OF_GENERATION, PLACE, PLACE_FD, RANK, SIZE

pytestmark = pytest.mark.fast

PLACED = dict.fromkeys((*PLACE, *OF_GENERATION), "1")


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlaceChannel]:
    for name, value in PLACED.items():
        monkeypatch.setenv(name, value)
    channel = PlaceChannel()
    yield channel
    channel.close()


def rank_of(channel: PlaceChannel) -> Places:
    """The rank's end, as a process that was started inherits it."""
    places = Places(os.dup(channel.fd))
    channel.started()
    return places


def test_a_rank_moves_to_the_place_that_it_is_given(channel: PlaceChannel) -> None:
    places = rank_of(channel)
    assert places.can_change
    assert not places.lost()
    assert not places.take()
    channel.break_up()
    assert places.lost()
    assert not places.take(), "there is no place yet"
    channel.assign({**os.environ, RANK: "0", SIZE: "3", GENERATION: "2"})
    assert places.wait(lambda: False, 1.0, lambda: None)
    assert (os.environ[RANK], os.environ[SIZE], os.environ[GENERATION]) == ("0", "3", "2")
    assert not places.lost()


def test_of_several_places_the_newest_counts(channel: PlaceChannel) -> None:
    places = rank_of(channel)
    for size in ("2", "3"):
        channel.break_up()
        channel.assign({**os.environ, SIZE: size})
    assert places.lost(), "the first generation has ended"
    assert places.take()
    assert os.environ[SIZE] == "3"
    assert not places.take()


def test_a_place_in_a_generation_that_has_ended_already_is_taken_and_known_to_be_lost(
    channel: PlaceChannel,
) -> None:
    """So the rank says once more that it waits."""
    places = rank_of(channel)
    channel.break_up()
    channel.assign({**os.environ, GENERATION: "2"})
    channel.break_up()
    assert places.wait(lambda: False, 1.0, lambda: None)
    assert os.environ[GENERATION] == "2"
    assert places.lost()
    assert not places.take()


def test_it_waits_and_says_so_once(channel: PlaceChannel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.0)
    places = rank_of(channel)
    waits, polls = [], iter(range(5))
    assert not places.wait(lambda: next(polls, None) is None, 0.0, lambda: waits.append(1))
    assert waits == [1], "and a stop ends the wait"


def test_a_rank_whose_supervisor_has_ended_gets_no_place(channel: PlaceChannel) -> None:
    places = rank_of(channel)
    channel.close()
    assert not places.wait(lambda: False, 1.0, lambda: None)
    assert not places.can_change


def test_a_rank_that_has_ended_is_not_waited_for(channel: PlaceChannel) -> None:
    channel.started()
    channel.break_up()
    channel.assign(PLACED)


def test_without_a_channel_a_rank_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PLACE_FD, raising=False)
    places.cache_clear()
    try:
        assert not places().can_change
        assert not places().lost()
        assert not places().wait(lambda: False, 1.0, lambda: None)
    finally:
        places.cache_clear()
