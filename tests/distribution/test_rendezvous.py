"""The key-value store as Horovod's core uses it, and the meeting before it."""

import http.client
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from trainer.distribution.rendezvous import Rendezvous, meet
from trainer.errors import Interrupted


@pytest.fixture
def store():
    with Rendezvous() as rendezvous:
        yield rendezvous


def ask(port: int, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body)
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def test_values_come_back_as_they_went(store: Rendezvous) -> None:
    value = bytes(range(256)) * 400
    assert ask(store.port, "GET", "/global/0") == (404, b"")
    assert ask(store.port, "PUT", "/global/0", value) == (200, b"")
    assert ask(store.port, "GET", "/global/0") == (200, value)
    assert ask(store.port, "GET", "/local_pod-0/0") == (404, b""), "scopes are apart"
    assert ask(store.port, "PUT", "/global/0") == (200, b"")
    assert ask(store.port, "GET", "/global/0") == (200, b"")


def test_a_scope_lists_its_keys(store: Rendezvous) -> None:
    for path in ("/meet/0", "/meet/10", "/meetings/3"):
        ask(store.port, "PUT", path)
    assert ask(store.port, "GET", "/meet/") == (200, b"0\n10")
    assert ask(store.port, "GET", "/other/") == (200, b"")


def test_delete_of_a_key_that_may_not_be_there(store: Rendezvous) -> None:
    ask(store.port, "PUT", "/global/0", b"x")
    assert ask(store.port, "DELETE", "/global/0") == (200, b"")
    assert ask(store.port, "DELETE", "/global/0") == (200, b"")
    assert ask(store.port, "GET", "/global/0") == (404, b"")


def test_a_request_as_horovod_writes_it(store: Rendezvous) -> None:
    with socket.create_connection(("127.0.0.1", store.port)) as connection:
        connection.sendall(b"PUT /cross_0/1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\nabc")
        assert b" 200 " in connection.makefile("rb").readline()
    assert ask(store.port, "GET", "/cross_0/1") == (200, b"abc")


def test_many_at_once(store: Rendezvous) -> None:
    with ThreadPoolExecutor(64) as pool:
        assert set(pool.map(lambda n: ask(store.port, "PUT", f"/s/{n}", b"%d" % n)[0], range(400))) == {200}
        assert list(pool.map(lambda n: ask(store.port, "GET", f"/s/{n}")[1], range(400))) == [
            b"%d" % n for n in range(400)
        ]


def test_a_closed_store_is_gone() -> None:
    with Rendezvous() as store:
        port = store.port
    with pytest.raises(ConnectionError):
        ask(port, "GET", "/global/0")


def place(monkeypatch: pytest.MonkeyPatch, port: int, rank: int, size: int) -> None:
    monkeypatch.setenv("HOROVOD_GLOO_RENDEZVOUS_ADDR", "127.0.0.1")
    monkeypatch.setenv("HOROVOD_GLOO_RENDEZVOUS_PORT", str(port))
    monkeypatch.setenv("HOROVOD_RANK", str(rank))
    monkeypatch.setenv("HOROVOD_SIZE", str(size))


def test_ranks_meet(store: Rendezvous, monkeypatch: pytest.MonkeyPatch) -> None:
    place(monkeypatch, store.port, 0, 2)
    first = threading.Thread(target=meet)
    first.start()
    while ask(store.port, "GET", "/meet/0")[0] != 200:
        pass
    assert first.is_alive()
    ask(store.port, "PUT", "/meet/1")
    first.join(30)
    assert not first.is_alive()


def test_who_does_not_come_is_named(store: Rendezvous, monkeypatch: pytest.MonkeyPatch) -> None:
    place(monkeypatch, store.port, 1, 3)
    ask(store.port, "PUT", "/meet/0")
    with pytest.raises(Interrupted, match=r"rank 1 of 3 waited 1 s at 127.0.0.1:\d+ for ranks \[2\]"):
        meet(timeout=1)


def test_a_stop_ends_the_wait(store: Rendezvous, monkeypatch: pytest.MonkeyPatch) -> None:
    place(monkeypatch, store.port, 0, 2)
    with pytest.raises(Interrupted, match="was stopped while it waited"):
        meet(stopping=lambda: True)


def test_a_store_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with Rendezvous() as store:
        place(monkeypatch, store.port, 0, 1)
    with pytest.raises(Interrupted, match="Connection refused"):
        meet(timeout=0.2)
