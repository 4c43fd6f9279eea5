"""Small ranges by the short way: the same bytes and errors as by the long one, whatever the network does."""

from collections.abc import Iterator

import pytest

from tests.storage import faulty
from tests.storage.faulty import FaultyProxy, faulty_proxy
from trainer.storage import ObjectChanged, open_store, retry
from trainer.storage.s3 import fast_ranges
from trainer.storage.s3.s3_store import S3Store

DATA = bytes(range(256)) * 40
KEY = "a b/ü'+~%41.jpg"


@pytest.fixture
def proxy(moto: str, s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    monkeypatch.setenv("TRAINER_RETRY_SECONDS", "20")
    monkeypatch.setattr(retry, "BASE_SECONDS", 0.01)
    monkeypatch.setattr(fast_ranges, "FIRST_BYTE_SECONDS", 0.5)
    with faulty_proxy(moto) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


def stored(url: str) -> tuple[S3Store, str]:
    store = open_store(url)
    assert isinstance(store, S3Store)
    return store, store.put(KEY, DATA)


def test_it_is_what_the_server_has(strict_s3: str) -> None:
    """On a server that checks signatures."""
    store, etag = stored(f"{strict_s3}/some/prefix")
    for start, stop in ((0, len(DATA)), (5, 9), (len(DATA) - 1, len(DATA))):
        assert store._requests.fast.get_range(f"some/prefix/{KEY}", start, stop, etag) == DATA[start:stop]
        assert store.get_range(KEY, start, stop, etag=etag) == DATA[start:stop]
    assert store._requests.fast.get_range(f"some/prefix/{KEY}", 0, len(DATA) + 1, etag) is None
    with pytest.raises(EOFError):
        store.get_range(KEY, len(DATA), len(DATA) + 5, etag=etag)
    with pytest.raises(FileNotFoundError):
        store.get_range("other", 0, 5, etag=etag)
    store.put(KEY, DATA[::-1])
    with pytest.raises(ObjectChanged):
        store.get_range(KEY, 0, 5, etag=etag)


@pytest.mark.parametrize(
    "fault",
    [
        faulty.slow_down,
        faulty.internal_error,
        faulty.reset,
        faulty.lose_answer,
        faulty.stall,
        faulty.cut_body(100),
        faulty.reset_body(100),
        faulty.hang_body(100),
        faulty.trickle,
    ],
)
def test_what_goes_wrong_is_asked_for_again(fault: faulty.Fault, proxy: FaultyProxy, s3: str) -> None:
    store, etag = stored(s3)
    proxy.spoil("GET", fault)
    assert store.get_range(KEY, 0, len(DATA), etag=etag) == DATA
    assert store.get_range(KEY, 0, len(DATA), etag=etag) == DATA


def test_where_it_never_works_it_pauses(
    proxy: FaultyProxy, s3: str, caplog: pytest.LogCaptureFixture
) -> None:
    store, etag = stored(s3)
    for _ in range(fast_ranges.MAX_CONSECUTIVE_FAILURES):
        proxy.spoil("GET", faulty.slow_down)
        assert store.get_range(KEY, 0, 5, etag=etag) == DATA[:5]
    before = len(proxy.seen)
    assert store.get_range(KEY, 0, 5, etag=etag) == DATA[:5]
    assert len(proxy.seen) == before + 1
    assert store._requests.fast.get_range(KEY, 0, 5, etag) is None
    assert [record.message.partition(": ")[2] for record in caplog.records] == [
        "3 fast reads in a row failed (answered 503); reading without them, trying again every 60 s"
    ]
    store._requests.fast._resumes = 0.0
    assert store._requests.fast.get_range(KEY, 0, 5, etag) == DATA[:5]


def test_objects_that_are_gone_or_another_do_not_end_it(s3: str) -> None:
    store, etag = stored(s3)
    for _ in range(fast_ranges.MAX_CONSECUTIVE_FAILURES + 1):
        assert store._requests.fast.get_range(KEY, 0, 5, "another") is None
        assert store._requests.fast.get_range("gone", 0, 5, etag) is None
    assert store._requests.fast.get_range(KEY, 0, 5, etag) == DATA[:5]


def test_it_takes_no_more_than_the_operation_s_budget(
    proxy: FaultyProxy, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINER_RETRY_SECONDS", "1")
    monkeypatch.setattr(fast_ranges, "FIRST_BYTE_SECONDS", 5.0)
    store, etag = stored(s3)
    proxy.spoil("GET", *[faulty.stall] * 9)
    with pytest.raises(TimeoutError, match=r"gave up after 1\.\d s"):
        store.get_range(KEY, 0, 5, etag=etag)


def test_a_proxy_is_not_gone_round(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stored(s3)[0]._requests.fast.get_range(KEY, 0, 5, stored(s3)[1]) == DATA[:5]
    store, etag = stored(s3)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert store._requests.fast.get_range(KEY, 0, 5, etag) is None
