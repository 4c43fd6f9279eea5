"""A network that drops, cuts and stalls, and a server that is busy: retried, and right in the end."""

import logging
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripts.processes import free_port
from tests.conftest import client, use_s3
from tests.storage import faulty
from tests.storage.faulty import FaultyProxy, faulty_proxy
from trainer.doctor import examine
from trainer.errors import ConfigError
from trainer.runs.fence import Fence
from trainer.storage import ObjectChanged, Store, open_store, retry, stalls
from trainer.storage.s3 import requests
from trainer.storage.s3 import s3_store as s3
from trainer.storage.s3.endpoints import Endpoints

DATA = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BASE_SECONDS", 0.01)


@pytest.fixture
def proxy(moto: str, s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    monkeypatch.setenv("TRAINER_RETRY_SECONDS", "20")
    with faulty_proxy(moto) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


@pytest.fixture
def store(proxy: FaultyProxy, s3: str, causes: Counter[str]) -> Store:
    store = open_store(s3, on_retry=lambda cause: causes.update([cause]))
    store.put("k", DATA)
    proxy.seen.clear()
    return store


@pytest.fixture
def causes() -> Counter[str]:
    """The retries of `store`, counted by cause."""
    return Counter()


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (faulty.slow_down, "throttled"),
        (faulty.says(429, "TooManyRequests"), "throttled"),
        (faulty.internal_error, "server_error"),
        (faulty.bad_gateway, "server_error"),
        (faulty.says(400, "RequestTimeout"), "timeout"),
        (faulty.reset, "connection"),
        (faulty.lose_answer, "connection"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_every_operation_outlives_a_passing_fault(
    store: Store, proxy: FaultyProxy, causes: Counter[str], tmp_path: Path, fault: faulty.Fault, cause: str
) -> None:
    def meets(method: str) -> None:
        assert proxy.faults_left == 0, "the last operation met its faults"
        causes.clear()
        proxy.spoil(method, fault, fault)

    meets("GET")
    assert store.get("k") == DATA
    assert causes == {cause: 2}
    meets("GET")
    assert bytes(store.get_range("k", 1000, 2000)) == DATA[1000:2000]
    meets("PUT")
    store.put("new", DATA)
    meets("HEAD")
    assert store.stat("new").size == len(DATA)
    meets("GET")
    assert [info.key for info in store.list()] == ["k", "new"]
    meets("PUT")
    store.put("token", b"mine", if_absent=True)
    assert store.get("token") == b"mine"
    meets("DELETE")
    store.delete("new")
    assert [info.key for info in store.list()] == ["k", "token"]
    assert proxy.faults_left == 0


@pytest.mark.parametrize("cut", [faulty.cut_body, faulty.reset_body])
def test_a_body_that_breaks_off_goes_on_where_it_broke(
    store: Store, proxy: FaultyProxy, causes: Counter[str], cut: Callable[[int], faulty.Fault]
) -> None:
    proxy.spoil("GET", cut(700_000), cut(0), cut(100_000))
    assert store.get("k") == DATA
    assert causes.total() == 3
    assert len(proxy.seen) == 4
    buffer = bytearray(500_000)
    proxy.spoil("GET", cut(300_000), cut(1))
    store.get_range("k", 1000, 501_000, into=memoryview(buffer))
    assert buffer == DATA[1000:501_000]


def test_a_body_is_never_put_together_from_two_versions(store: Store, proxy: FaultyProxy) -> None:
    def cut_then_overwritten(request: faulty.Handler) -> None:
        faulty.cut_body(700_000)(request)
        bucket = store.url.removeprefix("s3://")
        client(proxy.upstream).put_object(Bucket=bucket, Key="k", Body=DATA[::-1])

    old = store.stat("k").etag
    proxy.spoil("GET", cut_then_overwritten)
    assert store.get("k") == DATA[::-1]
    store.put("k", DATA)
    proxy.spoil("GET", cut_then_overwritten)
    with pytest.raises(ObjectChanged, match=f"expected etag {old}"):
        store.get_range("k", 0, len(DATA), etag=old)


def test_a_wrong_byte_under_a_right_checksum_is_read_again(
    store: Store, proxy: FaultyProxy, causes: Counter[str]
) -> None:
    proxy.spoil("GET", faulty.flip_body)
    assert store.get("k") == DATA
    assert causes == {"short_body": 1}


def test_a_silent_server_is_asked_again(
    store: Store, proxy: FaultyProxy, causes: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "READ_SECONDS", 1)
    store = open_store(store.url, on_retry=lambda cause: causes.update([cause]))
    proxy.spoil("GET", faulty.stall)
    assert bytes(store.get_range("k", 0, 10)) == DATA[:10]
    assert causes == {"timeout": 1}


@pytest.mark.parametrize("fault", [faulty.hang_body(100_000), faulty.trickle], ids=["hung", "trickle"])
def test_a_body_that_hardly_comes_is_asked_for_again_within_the_budget(
    store: Store,
    proxy: FaultyProxy,
    causes: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
    fault: faulty.Fault,
) -> None:
    monkeypatch.setenv("TRAINER_RETRY_SECONDS", "0.6")
    impatient = open_store(store.url, on_retry=lambda cause: causes.update([cause]))
    proxy.spoil("GET", fault)
    assert bytes(impatient.get_range("k", 5, 900_000)) == DATA[5:900_000]
    assert causes == {"timeout": 1}
    assert not proxy.headers_seen[-1]["Range"].startswith("bytes=5-"), "it goes on where it was"
    proxy.spoil("GET", *[fault] * 100)
    with pytest.raises(TimeoutError, match=rf"^{store.url}/k: gave up after .*: Read timeout"):
        impatient.get_range("k", 0, len(DATA))


def test_a_lost_answer_does_not_turn_the_winner_into_a_loser(store: Store, proxy: FaultyProxy) -> None:
    proxy.spoil("PUT", faulty.lose_answer, faulty.reset)
    etag = store.put("token", b"writer 1", if_absent=True)
    assert store.stat("token").etag == etag


def test_a_lost_answer_to_a_replaced_version_is_success(store: Store, proxy: FaultyProxy) -> None:
    old = store.put("run.json", b"old")
    proxy.spoil("PUT", faulty.lose_answer, faulty.reset)
    etag = store.put("run.json", b"new", if_match=old)
    assert store.stat("run.json").etag == etag
    proxy.spoil("PUT", faulty.lose_answer)
    with pytest.raises(ObjectChanged):
        store.put("run.json", b"late", if_match=old)
    assert store.get("run.json") == b"new"


def test_a_lost_answer_does_not_turn_a_loser_into_the_winner(store: Store, proxy: FaultyProxy) -> None:
    store.put("token", b"writer 0", if_absent=True)
    proxy.spoil("PUT", faulty.lose_answer)
    with pytest.raises(FileExistsError, match="token"):
        store.put("token", b"writer 1", if_absent=True)
    assert store.get("token") == b"writer 0"


def test_a_conflict_of_conditional_writers_is_tried_again(
    store: Store, proxy: FaultyProxy, causes: Counter[str]
) -> None:
    proxy.spoil("PUT", faulty.says(409, "ConditionalRequestConflict"))
    store.put("token", b"same", if_absent=True)
    assert causes == {"conflict": 1}
    proxy.spoil("PUT", faulty.says(409, "ConditionalRequestConflict"))
    with pytest.raises(FileExistsError):
        store.put("token", b"same", if_absent=True)


def test_a_large_upload_outlives_faults_in_every_phase(
    store: Store, proxy: FaultyProxy, tmp_path: Path
) -> None:
    data = DATA * 12 + b"end"
    (tmp_path / "large").write_bytes(data)
    small_parts = s3.S3Store(store.url.removeprefix("s3://"), part_bytes=5 << 20)
    proxy.spoil("POST", faulty.slow_down)
    proxy.spoil("PUT", faulty.reset, faulty.lose_answer, faulty.internal_error)
    etag = small_parts.put_file("large", tmp_path / "large")
    assert etag.endswith("-3")
    proxy.spoil("GET", *[faulty.cut_body(3_000_000)] * 4)
    assert store.get("large") == data
    assert proxy.faults_left == 0


def test_a_lost_answer_to_the_last_request_of_an_upload_is_success(store: Store, proxy: FaultyProxy) -> None:
    def lose_the_second(request: faulty.Handler) -> None:
        request.send(*request.forward())
        proxy.spoil("POST", faulty.lose_answer)

    small_parts = s3.S3Store(store.url.removeprefix("s3://"), part_bytes=5 << 20)
    proxy.spoil("POST", lose_the_second)
    etag = small_parts.put("large", DATA * 12)
    assert proxy.faults_left == 0
    assert store.stat("large").etag == etag
    assert store.get("large") == DATA * 12


def test_an_upload_that_fails_leaves_no_parts(store: Store, proxy: FaultyProxy, tmp_path: Path) -> None:
    bucket = store.url.removeprefix("s3://")
    small_parts = s3.S3Store(bucket, part_bytes=5 << 20)
    proxy.spoil("PUT", faulty.says(403, "AccessDenied"))
    with pytest.raises(PermissionError, match=f"^{store.url}/large: "):
        small_parts.put("large", DATA * 12)
    assert [info.key for info in store.list()] == ["k"]
    assert "Uploads" not in client(proxy.upstream).list_multipart_uploads(Bucket=bucket)


def test_the_budget_ends_and_says_why(
    store: Store, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINER_RETRY_SECONDS", "0.5")
    impatient = open_store(store.url)
    proxy.spoil("GET", *[faulty.slow_down] * 1000)
    with pytest.raises(
        TimeoutError, match=rf"^{store.url}/k: gave up after \d+\.\d s: SlowDown \(503\): because$"
    ):
        impatient.get("k")


@pytest.mark.parametrize("budget", ["a minute", "", "0", "-1", "nan", "inf"])
def test_a_budget_that_is_no_time_is_refused(s3: str, monkeypatch: pytest.MonkeyPatch, budget: str) -> None:
    monkeypatch.setenv("TRAINER_RETRY_SECONDS", budget)
    with pytest.raises(ConfigError, match=rf"TRAINER_RETRY_SECONDS, received '{budget}'"):
        open_store(s3)


def test_silence_counts_toward_the_budget(
    store: Store, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINER_RETRY_SECONDS", "1")
    impatient = open_store(store.url)
    proxy.spoil("GET", *[faulty.stall] * 10)
    with pytest.raises(TimeoutError, match="gave up"):
        impatient.get("k")
    assert len(proxy.seen) == 2


def test_silence_is_said_in_the_log(
    store: Store, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stalls, "SILENT_SECONDS", 0.5)
    monkeypatch.setenv("TRAINER_RETRY_SECONDS", "2")
    stalling = open_store(store.url)
    proxy.spoil("GET", faulty.stall)
    caplog.set_level(logging.INFO, logger="trainer")
    assert stalling.get("k") == DATA
    first, *others = [message for message in caplog.messages if message.startswith("waiting for")]
    last = caplog.messages[-1]
    assert re.fullmatch(rf"waiting for {store.url}/k: no answer for \d+ s; the limit is 2 s", first)
    assert len(others) <= 3
    assert re.fullmatch(r"s3://[\w-]+ answers again after \d+ s", last)
    assert stalling.get("k") == DATA
    assert sum("answers again" in message for message in caplog.messages) == 1


def test_retries_are_said_in_the_log(
    store: Store, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stalls, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(retry, "BASE_SECONDS", 0.2)
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    proxy.spoil("GET", faulty.slow_down, faulty.slow_down)
    assert store.get("k") == DATA
    assert re.search(r"\d failed attempts? in \d s, the last: SlowDown \(503\)", caplog.messages[0])


def test_a_server_that_is_not_there_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    use_s3(monkeypatch, f"http://127.0.0.1:{free_port()}")
    # An earlier test's server may have had the same port.
    monkeypatch.setattr(requests, "ENDPOINTS", Endpoints())
    monkeypatch.setattr(retry, "FIRST_CONTACT_SECONDS", 0.3)
    monkeypatch.setenv("TRAINER_RETRY_SECONDS", "3600")
    with pytest.raises(TimeoutError, match=r"^s3://bucket/k: .*http://127.0.0.1:\d+/.*AWS_ENDPOINT_URL"):
        open_store("s3://bucket").get("k")


def test_a_server_that_was_there_is_waited_for(
    s3: str, moto: str, monkeypatch: pytest.MonkeyPatch, causes: Counter[str]
) -> None:
    monkeypatch.setattr(retry, "FIRST_CONTACT_SECONDS", 0.0)
    with faulty_proxy(moto) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        store = open_store(s3, on_retry=lambda cause: causes.update([cause]))
        store.put("k", b"x")
        proxy.spoil("GET", faulty.reset, faulty.reset)
        assert store.get("k") == b"x"
    assert causes == {"connection": 2}


def test_a_busy_server_and_thirty_two_readers(store: Store, proxy: FaultyProxy) -> None:
    for fault in (faulty.slow_down, faulty.reset, faulty.cut_body(1000), faulty.internal_error):
        proxy.spoil("GET", *[fault] * 8)

    def read(number: int) -> bool:
        start = number * 4000
        return bytes(store.get_range("k", start, start + 4000)) == DATA[start : start + 4000]

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(read, range(96)))
    assert proxy.faults_left == 0


def refuse_conditions(request: faulty.Handler) -> None:
    """As a server that knows no conditional writes and says so."""
    if request.headers.get("If-None-Match") or (request.command == "PUT" and request.headers.get("If-Match")):
        faulty.says(501, "NotImplemented", "A header you provided implies functionality")(request)
    else:
        request.send(*request.forward())


@pytest.fixture
def without_conditions(store: Store, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(requests, "ENDPOINTS", Endpoints())
    proxy.spoil("", *[refuse_conditions] * 1000)
    return store


def test_a_server_that_refuses_conditions_is_looked_at_before_a_write(
    without_conditions: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store = without_conditions
    etag = store.put("token", b"mine", if_absent=True)
    with pytest.raises(FileExistsError, match=f"^{store.url}/token: expected no such object"):
        store.put("token", b"another", if_absent=True)
    assert store.put("token", b"newer", if_match=etag) == store.stat("token").etag
    for key in ("token", "nothing"):
        with pytest.raises(ObjectChanged, match=f"^{store.url}/{key}: changed: expected etag {etag}"):
            store.put(key, b"late", if_match=etag)
    assert store.get("token") == b"newer"
    assert [m for m in caplog.messages if "no conditional writes" in m] == caplog.messages
    assert len(caplog.messages) == 1


def test_a_run_starts_and_the_doctor_warns_where_conditions_are_refused(without_conditions: Store) -> None:
    assert [Fence.take(without_conditions, {}).number for _ in range(2)] == [1, 2]
    tried = {f.what: f for f in examine(f"{without_conditions.url}/doctor", timed=False)}
    for what in ("write if absent", "write if unchanged"):
        assert tried[what].mark == "warning"
        assert tried[what].found.startswith("refused by this store: ")
    assert tried["delete"].mark == "ok"


def test_an_object_without_an_etag_is_named(store: Store, proxy: FaultyProxy) -> None:
    """As gateways to a file system answer of files that were put there past them."""

    def without(request: faulty.Handler) -> None:
        status, headers, body = request.forward()
        request.send(status, {name: headers[name] for name in headers if name.lower() != "etag"}, body)

    for method, ask in (("GET", store.get), ("HEAD", store.stat)):
        proxy.spoil(method, without)
        with pytest.raises(
            OSError, match=rf"^{store.url}/k: its store gives it no ETag, .*; upload it again"
        ):
            ask("k")


def test_a_listing_without_etags_is_a_listing(store: Store, proxy: FaultyProxy) -> None:
    def without(request: faulty.Handler) -> None:
        status, headers, body = request.forward()
        request.send(status, headers, re.sub(rb"<ETag>.*?</ETag>", b"", body))

    proxy.spoil("GET", without)
    assert [(info.key, info.size, info.etag) for info in store.list()] == [("k", len(DATA), "")]
