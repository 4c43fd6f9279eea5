"""Who may write: the highest token, and nobody else once there is a higher one."""

import json
import threading
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest

from trainer.runs import layout
from trainer.runs.fence import Fence, Superseded, publish
from trainer.storage import ObjectInfo, Store, open_store


def test_tokens_count_upwards_and_say_who(store_url: str) -> None:
    store = open_store(store_url)
    assert Fence.take(store, {"host": "a"}).number == 1
    assert Fence.take(store, {"host": "b", "address": "10.0.0.1:80"}).number == 2
    token = json.loads(store.get(layout.token(2)))
    assert (token["generation"], token["host"], token["address"]) == (2, "b", "10.0.0.1:80")
    assert token["taken_at"].startswith("20")


def test_a_higher_token_supersedes(store_url: str) -> None:
    store = open_store(store_url)
    old = Fence.take(store, {})
    old.check()
    new = Fence.take(store, {})
    new.check()
    with pytest.raises(Superseded, match="token 1 was superseded by token 2") as failure:
        old.check()
    assert failure.value.exit_code == 75


@pytest.mark.parametrize("newer", [{"gang": "b", "host": "cars-b-0"}, {"host": "cars-b-0"}])
def test_who_is_superseded_by_another_run_stops_for_good_and_says_by_whom(
    tmp_path: Any, newer: dict[str, str]
) -> None:
    store = open_store(str(tmp_path))
    old = Fence.take(store, {"gang": "a"})
    new = Fence.take(store, newer)
    with pytest.raises(Superseded, match=r"by token 2, taken at 20.* on host cars-b-0") as failure:
        old.check()
    assert failure.value.exit_code == 64
    new.check()


def test_a_token_that_makes_no_sense_is_another_run_s(tmp_path: Any) -> None:
    store = open_store(str(tmp_path))
    old = Fence.take(store, {"gang": "a"})
    store.put(layout.token(2), b"?")
    with pytest.raises(Superseded, match="by token 2, taken at an unknown time on host unknown") as failure:
        old.check()
    assert failure.value.exit_code == 64


def test_who_cannot_read_the_newer_token_does_not_take_it_for_its_own(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path))
    old = Fence.take(store, {"gang": "a"})
    Fence.take(store, {"gang": "b"})
    with monkeypatch.context() as away:
        away.setattr(store, "get", Mock(side_effect=TimeoutError("no answer")))
        with pytest.raises(TimeoutError):
            old.check()
    with pytest.raises(Superseded) as failure:
        old.check()
    assert failure.value.exit_code == 64


def test_a_gang_that_starts_again_supersedes_itself(tmp_path: Any) -> None:
    store = open_store(str(tmp_path))
    old = Fence.take(store, {"gang": "a"})
    Fence.take(store, {"gang": "b"})
    Fence.take(store, {"gang": "a"})
    with pytest.raises(Superseded, match="token 1 was superseded by token 3") as failure:
        old.check()
    assert failure.value.exit_code == 75


def test_tokens_beyond_ten_sort_as_numbers(tmp_path: Any) -> None:
    store = open_store(str(tmp_path))
    assert [Fence.take(store, {}).number for _ in range(12)] == list(range(1, 13))


def test_who_saw_a_newer_token_asks_no_more(tmp_path: Any) -> None:
    store = open_store(str(tmp_path))
    old = Fence.take(store, {})
    Fence.take(store, {})
    for _ in range(2):
        with pytest.raises(Superseded):
            old.check()
        store.delete("generations/00000002")


def test_of_many_who_start_at_once_each_gets_a_token_of_its_own(store_url: str) -> None:
    store = open_store(store_url)
    numbers: list[int] = []
    threads = [
        threading.Thread(target=lambda: numbers.append(Fence.take(store, {}).number)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 9))


class TakenOver:
    """A store in which another process takes a token right after this one has listed them."""

    def __init__(self, store: Store) -> None:
        self.store, self.url = store, store.url

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        found = list(self.store.list(prefix))
        Fence.take(self.store, {})
        return iter(found)


def test_publishing_replaces_what_people_download(store_url: str) -> None:
    store = open_store(store_url)
    fence = Fence.take(store, {})
    for data in (b"first", b"second"):
        publish(store, fence, "weights/best.weights.h5", data)
        assert store.get("weights/best.weights.h5") == data


def test_an_old_token_publishes_nothing(store_url: str) -> None:
    store = open_store(store_url)
    old, new = Fence.take(store, {}), Fence.take(store, {})
    publish(store, new, "metrics.csv", b"new")
    with pytest.raises(Superseded):
        publish(store, old, "metrics.csv", b"old")
    assert store.get("metrics.csv") == b"new"


def test_who_loses_its_token_while_publishing_learns_of_it(tmp_path: Any) -> None:
    store = open_store(str(tmp_path))
    fence = Fence.take(store, {})
    late = Fence(TakenOver(store), fence.number, fence.etag)
    with pytest.raises(Superseded):
        publish(store, late, "metrics.csv", b"the one that was on its way")
