"""The key-value store as Horovod's core uses it."""

import http.client
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from trainer.gang.network.auth import GangKey
from trainer.gang.network.rendezvous import Relay, Rendezvous


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


def test_a_relay_stands_for_the_store_in_another_pod(store: Rendezvous) -> None:
    value = bytes(range(256)) * 400
    with Relay("127.0.0.1", store.port, GangKey()) as relay:
        assert ask(relay.port, "GET", "/global/0") == (404, b"")
        assert ask(relay.port, "PUT", "/global/0", value) == (200, b"")
        assert ask(relay.port, "GET", "/global/0") == ask(store.port, "GET", "/global/0") == (200, value)
        assert ask(relay.port, "GET", "/global/") == (200, b"0")
        store.close()
        assert ask(relay.port, "GET", "/global/0")[0] == 502
