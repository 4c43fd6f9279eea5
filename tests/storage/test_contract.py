"""What every object store here promises, on each of them."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from trainer.storage import ObjectChanged, Store, open_store


@pytest.fixture
def store(store_url: str) -> Store:
    return open_store(store_url)


def test_what_was_put_is_there(store: Store) -> None:
    etag = store.put("a/b.bin", b"hello")
    assert store.get("a/b.bin") == b"hello"
    info = store.stat("a/b.bin")
    assert (info.key, info.size, info.etag) == ("a/b.bin", 5, etag)
    assert '"' not in etag


@pytest.mark.parametrize("data", [b"bytes", bytearray(b"bytes"), memoryview(b"-bytes")[1:]])
def test_any_buffer_can_be_put(store: Store, data: bytes) -> None:
    store.put("k", data)
    assert store.get("k") == b"bytes"


def test_an_empty_object_is_an_object(store: Store) -> None:
    store.put("empty", b"")
    assert store.get("empty") == b""
    assert store.stat("empty").size == 0
    assert [info.key for info in store.list()] == ["empty"]
    assert bytes(store.get_range("empty", 0, 0)) == b""


def test_put_overwrites_and_changes_the_etag(store: Store) -> None:
    first = store.put("k", b"one")
    second = store.put("k", b"two")
    assert store.get("k") == b"two"
    assert first != second


@pytest.mark.parametrize(("start", "stop"), [(0, 10), (0, 1), (3, 7), (9, 10), (4, 4)])
def test_ranges(store: Store, start: int, stop: int) -> None:
    store.put("k", b"0123456789")
    assert bytes(store.get_range("k", start, stop)) == b"0123456789"[start:stop]
    buffer = bytearray(b"." * 12)
    got = store.get_range("k", start, stop, into=memoryview(buffer)[1 : 1 + stop - start])
    assert bytes(got) == b"0123456789"[start:stop]
    assert bytes(buffer) == b"." + b"0123456789"[start:stop] + b"." * (11 - (stop - start))


def test_a_range_beyond_the_end_is_an_error_not_fewer_bytes(store: Store) -> None:
    store.put("k", b"0123456789")
    for start, stop in ((5, 11), (10, 12), (20, 30)):
        with pytest.raises(EOFError, match="/k: "):
            store.get_range("k", start, stop)


def test_a_range_needs_a_buffer_of_its_size(store: Store) -> None:
    store.put("k", b"0123456789")
    with pytest.raises(ValueError, match="3 bytes, received 4"):
        store.get_range("k", 0, 3, into=memoryview(bytearray(4)))


def test_a_pinned_range_notices_that_the_object_changed(store: Store) -> None:
    etag = store.put("k", b"old bytes")
    assert bytes(store.get_range("k", 0, 3, etag=etag)) == b"old"
    new = store.put("k", b"new bytes")
    with pytest.raises(ObjectChanged, match=f"{store.url}/k: .*{etag}.*{new}"):
        store.get_range("k", 0, 3, etag=etag)


def test_put_if_absent_keeps_what_is_there(store: Store) -> None:
    store.put("token", b"first", if_absent=True)
    with pytest.raises(FileExistsError, match=f"{store.url}/token"):
        store.put("token", b"second", if_absent=True)
    assert store.get("token") == b"first"


def test_of_sixteen_racing_writers_one_wins(store: Store) -> None:
    start = Barrier(16)

    def write(number: int) -> int | None:
        start.wait()
        try:
            store.put("token", b"writer %d" % number, if_absent=True)
        except FileExistsError:
            return None
        return number

    for _ in range(3):
        store.delete("token")
        with ThreadPoolExecutor(16) as pool:
            winners = [number for number in pool.map(write, range(16)) if number is not None]
        assert len(winners) == 1
        assert store.get("token") == b"writer %d" % winners[0]


def test_a_version_is_replaced_once(store: Store) -> None:
    first = store.put("run.json", b"first")
    second = store.put("run.json", b"second", if_match=first)
    with pytest.raises(ObjectChanged, match=f"{store.url}/run.json.*{first}"):
        store.put("run.json", b"late", if_match=first)
    assert store.get("run.json") == b"second"
    store.delete("run.json")
    with pytest.raises(ObjectChanged):
        store.put("run.json", b"late", if_match=second)
    assert not list(store.list())


def test_of_sixteen_who_replace_a_version_one_wins(store: Store) -> None:
    start, etag = Barrier(16), store.put("run.json", b"old")

    def replace(number: int) -> int | None:
        start.wait()
        try:
            store.put("run.json", b"writer %d" % number, if_match=etag)
        except ObjectChanged:
            return None
        return number

    with ThreadPoolExecutor(16) as pool:
        (winner,) = [number for number in pool.map(replace, range(16)) if number is not None]
    assert store.get("run.json") == b"writer %d" % winner


def test_an_object_says_when_it_was_written(store: Store) -> None:
    store.put("k", b"now")
    for info in (store.stat("k"), *store.list()):
        assert abs(info.modified - time.time()) < 60


def test_list_follows_the_bytes_of_the_keys(store: Store) -> None:
    keys = [
        "a",
        "a-b",
        "a.b/c",
        "a0",
        "b/a",
        "b-",
        "b/c/d",
        "b0",
        "Z",
        "é",
        "z",
        "\U0001f697",
        "ａ",
        "b c+%20",
    ]
    for key in keys:
        store.put(key, key.encode())
    in_order = sorted(keys, key=lambda key: key.encode())
    assert [info.key for info in store.list()] == in_order
    assert [info.size for info in store.list()] == [len(key.encode()) for key in in_order]
    for prefix in ("a", "b", "b/", "b/c", "b/c/d", "none", "é"):
        assert [info.key for info in store.list(prefix)] == [
            key for key in in_order if key.startswith(prefix)
        ]
    for info in store.list():
        assert store.stat(info.key) == info
        assert store.get(info.key) == info.key.encode()


def test_list_goes_beyond_one_page(store: Store) -> None:
    keys = [f"part/{number:05d}" for number in range(1100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, b"x"), keys))
    assert [info.key for info in store.list("part/")] == keys


def test_an_empty_store_lists_nothing(store: Store) -> None:
    assert list(store.list()) == []


def test_missing_objects_are_named(store: Store) -> None:
    for ask in (
        lambda: store.get("no/such"),
        lambda: store.get_range("no/such", 0, 3),
        lambda: store.get_range("no/such", 0, 3, etag="0"),
        lambda: store.stat("no/such"),
    ):
        with pytest.raises(FileNotFoundError, match=f"^{store.url}/no/such: no such object$"):
            ask()


def test_a_folder_is_no_object(store: Store) -> None:
    store.put("folder/k", b"x")
    with pytest.raises(FileNotFoundError):
        store.get("folder")
    with pytest.raises(FileNotFoundError):
        store.stat("folder")
    store.delete("folder")
    assert store.get("folder/k") == b"x"


def test_delete_is_no_error_twice(store: Store) -> None:
    store.put("a/b/c", b"x")
    store.delete("a/b/c")
    store.delete("a/b/c")
    assert list(store.list()) == []
    store.put("a", b"now an object")
    assert store.get("a") == b"now an object"


def test_stores_below_one_another_see_the_same_objects(store: Store, store_url: str) -> None:
    open_store(f"{store_url}/runs/1/").put("run.json", b"{}")
    assert [info.key for info in store.list()] == ["runs/1/run.json"]
    assert [info.key for info in open_store(f"{store_url}/runs").list()] == ["1/run.json"]


@pytest.mark.parametrize("size", [0, 1000, 20_000_000])
def test_a_file_of_any_size_is_put_whole(store: Store, tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    path = tmp_path / "file"
    path.write_bytes(data)
    etag = store.put_file("copy", path)
    assert store.stat("copy").size == size
    assert store.stat("copy").etag == etag
    assert store.get("copy") == data
    assert store.put("again", data)
    assert store.get("again") == data
    assert bytes(store.get_range("copy", size // 2, size, etag=etag)) == data[size // 2 :]


def test_thirty_two_threads_share_a_store(store: Store) -> None:
    store.put("k", bytes(range(256)) * 64)

    def read(number: int) -> bool:
        start = number * 37
        return (
            bytes(store.get_range("k", start, start + 300)) == (bytes(range(256)) * 64)[start : start + 300]
        )

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(read, range(128)))
