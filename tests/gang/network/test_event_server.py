"""The coordinator answers all pods in one thread."""

import http.client
import socket
import threading

import pytest

from trainer.gang.network.event_server import EventServer
from trainer.gang.network.http import Request, Response


def echo(request: Request) -> Response:
    head = f"{request.method} {request.path} {request.client} ".encode()
    return Response(200, head + request.body, headers={"X-Trainer-Signature": "signed"})


def test_many_clients_keep_their_connections_to_one_thread() -> None:
    threads = threading.active_count()
    with EventServer(echo, "", 0, name="echo", keep_alive=True) as server:
        clients = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=10) for _ in range(100)]
        for number in range(2):
            for client in clients:
                client.request("POST", "/report?x=1", f"{number}".encode())
                response = client.getresponse()
                assert response.getheader("x-trainer-signature") == "signed"
                assert response.read() == f"POST /report 127.0.0.1 {number}".encode()
        assert threading.active_count() == threads + 1
        for client in clients:
            client.close()
    assert threading.active_count() == threads


@pytest.mark.parametrize(
    "sent", [b"nonsense\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"x" * 100_000]
)
def test_what_is_not_http_is_not_answered(sent: bytes) -> None:
    with EventServer(echo, "127.0.0.1", 0, name="echo", timeout=5) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as stranger:
            try:
                stranger.sendall(sent)
                assert stranger.recv(100) == b""
            except ConnectionError:
                pass
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        client.request("GET", "/x")
        assert client.getresponse().read() == b"GET /x 127.0.0.1 "
        client.close()


def test_a_silent_client_is_hung_up_on() -> None:
    with (
        EventServer(echo, "127.0.0.1", 0, name="echo", timeout=0.1) as server,
        socket.create_connection(("127.0.0.1", server.port)) as stranger,
    ):
        assert stranger.recv(100) == b""


def test_a_port_that_is_taken_is_an_error() -> None:
    with EventServer(echo, "127.0.0.1", 0, name="echo") as server, pytest.raises(OSError, match="in use"):
        EventServer(echo, "127.0.0.1", server.port, name="another")


def test_without_keep_alive_the_connection_ends_with_the_answer() -> None:
    with (
        EventServer(echo, "127.0.0.1", 0, name="echo") as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as client,
    ):
        client.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = client.makefile("rb").read()
        assert answer.endswith(b"GET /x 127.0.0.1 ")
        assert b"\r\nConnection: close\r\n" in answer


def test_handlers_that_wait_have_threads_of_their_own() -> None:
    both = threading.Barrier(2)

    def meet(request: Request) -> Response:
        both.wait(10)
        return Response(200, b"met")

    with EventServer(meet, "127.0.0.1", 0, name="meet", waits=True) as server:
        clients = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=20) for _ in range(2)]
        for client in clients:
            client.request("GET", "/")
        assert [client.getresponse().read() for client in clients] == [b"met", b"met"]


def test_a_handler_that_fails_is_500_and_the_next_request_is_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent = threading.Event()

    def fail(request: Request) -> Response:
        if request.path == "/bad":
            raise RuntimeError("bad")
        return Response(on_sent=sent.set)

    with EventServer(fail, "127.0.0.1", 0, name="fails", keep_alive=True) as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        for path, status in (("/bad", 500), ("/good", 200)):
            client.request("GET", path)
            response = client.getresponse()
            response.read()
            assert response.status == status
        assert sent.wait(10)
    assert caplog.messages == ["GET /bad failed: RuntimeError: bad"]
