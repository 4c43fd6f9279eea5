"""Ranks wait for each other before Horovod starts, and say for whom."""

import threading

import pytest

from tests.gang.network.test_rendezvous import ask, store  # noqa: F401  a fixture
from trainer.distribution import meeting
from trainer.distribution.meeting import SCOPE, meet
from trainer.distribution.places import PlaceChannel, Places
from trainer.errors import RankLost, TransientError
from trainer.gang.network.rendezvous import Rendezvous


def place(monkeypatch: pytest.MonkeyPatch, port: int, rank: int, size: int) -> None:
    monkeypatch.setenv("HOROVOD_GLOO_RENDEZVOUS_ADDR", "127.0.0.1")
    monkeypatch.setenv("HOROVOD_GLOO_RENDEZVOUS_PORT", str(port))
    monkeypatch.setenv("HOROVOD_RANK", str(rank))
    monkeypatch.setenv("HOROVOD_SIZE", str(size))


def test_ranks_meet(
    store: Rendezvous,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place(monkeypatch, store.port, 0, 2)
    first = threading.Thread(target=meet)
    first.start()
    while ask(store.port, "GET", f"{SCOPE}0")[0] != 200:
        pass
    assert first.is_alive()
    ask(store.port, "PUT", f"{SCOPE}1")
    first.join(30)
    assert not first.is_alive()


def test_who_does_not_come_is_named(
    store: Rendezvous,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place(monkeypatch, store.port, 1, 3)
    ask(store.port, "PUT", f"{SCOPE}0")
    with pytest.raises(TransientError, match=r"rank 1 of 3 waited 1 s at 127.0.0.1:\d+ for ranks \[2\]"):
        meet(timeout=1)


def test_a_stop_ends_the_wait(
    store: Rendezvous,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place(monkeypatch, store.port, 0, 2)
    with pytest.raises(TransientError, match="was stopped while waiting"):
        meet(stopping=lambda: True)


def test_the_end_of_the_generation_ends_the_wait(
    store: Rendezvous,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place(monkeypatch, store.port, 0, 2)
    channel = PlaceChannel()
    monkeypatch.setattr(meeting, "places", lambda: Places(channel.fd))
    channel.break_up()
    with pytest.raises(RankLost, match="lost another rank while it waited"):
        meet()
    channel.close()


def test_a_store_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with Rendezvous() as closed:
        place(monkeypatch, closed.port, 0, 1)
    with pytest.raises(TransientError, match="Connection refused"):
        meet(timeout=0.2)
