"""`trainer doctor URL` tries what a run needs, and leaves nothing behind."""

from collections.abc import Iterator

import pytest

from trainer import doctor
from trainer.doctor import examine
from trainer.storage import Store, open_store
from trainer.storage.base import ObjectInfo
from trainer.storage.s3 import S3Store


def found(url: str) -> dict[str, tuple[str, str]]:
    return {f.what: (f.mark, f.found) for f in examine(url)}


def test_a_store_that_does_all_is_said_to_and_left_empty(store_url: str):
    tried = found(store_url)
    expected = ["list", "write", "read a range", "write if absent", "write if unchanged", "delete"]
    if store_url.startswith("s3"):
        expected.insert(-1, "write in parts")
    assert list(tried)[-len(expected) :] == expected
    assert {tried[what][0] for what in expected} == {"ok"}
    assert not list(open_store(store_url).list())


def test_it_counts_no_bucket(s3: str, monkeypatch: pytest.MonkeyPatch):
    """Of millions of objects one page is read."""
    store = open_store(s3)
    for number in range(3):
        store.put(f"{number}", b"")
    taken: list[str] = []
    every = S3Store.list

    def counted(store: S3Store, prefix: str = "") -> Iterator[ObjectInfo]:
        for info in every(store, prefix):
            taken.append(info.key)
            yield info

    monkeypatch.setattr(S3Store, "list", counted)
    assert found(s3)["list"] == ("ok", f"{s3} holds objects")
    assert taken == ["0"]


def test_what_is_missing_is_an_error_and_nothing_more_is_tried(s3: str):
    tried = found("s3://no-such-bucket/x")
    assert tried["list"][0] == "error"
    assert "there is no bucket 'no-such-bucket'" in tried["list"][1]
    assert "write" not in tried


def test_it_cleans_up_when_it_is_interrupted(store_url: str, monkeypatch: pytest.MonkeyPatch):
    def interrupted(store: Store, key: str) -> str:
        assert [info.key for info in store.list()] == [key]
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "_write_if_absent", interrupted)
    with pytest.raises(KeyboardInterrupt):
        examine(store_url)
    assert not list(open_store(store_url).list())
