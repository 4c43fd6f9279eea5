"""Only pods of the same Job, with the same key, are heard; strangers and floods harm nobody."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from trainer.errors import EXIT_INVALID
from trainer.gang.coordinator import Coordinator, serve
from trainer.gang.line import Remote
from trainer.gang.members import Member, MemberState, RunRanks
from trainer.gang.messages import REPORT, encode_member
from trainer.gang.network import http as gang_http
from trainer.gang.network.auth import HEADER, GangKey
from trainer.gang.network.event_server import EventServer
from trainer.gang.network.http import Request
from trainer.gang.network.rendezvous import Rendezvous

KEY = GangKey("secret", "job-1")
ROW = {"rank": 0, "step": 1, "phase": "loading", "idle": 1.0}
END = encode_member(Member(0, "stranger", MemberState.LEAVING, 1, exit_code=EXIT_INVALID))


@pytest.fixture
def coordinator() -> Iterator[Coordinator]:
    made = Coordinator(lambda: 1)
    yield made
    made.close()


@pytest.fixture
def server(coordinator: Coordinator) -> Iterator[EventServer]:
    with serve(coordinator, "127.0.0.1", 0, KEY) as made:
        yield made


def post(port: int, body: bytes, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(
        "POST", REPORT, body, {name.replace("_", "-"): value for name, value in headers.items()}
    )
    status = connection.getresponse().status
    connection.close()
    return status


def still_trains(port: int) -> bool:
    """Whether a member still gets a generation to run."""
    line = Remote("127.0.0.1", port, KEY)
    member = Member(0, "mine", MemberState.IDLE, 1)
    deadline, answer = time.monotonic() + 20, None
    while answer is None and time.monotonic() < deadline:
        answer = line.report(member)
        time.sleep(0.02)
    line.close()
    return isinstance(answer, RunRanks)


def test_a_signature_holds_key_job_and_every_byte() -> None:
    signature = KEY.sign(b"report")
    assert KEY.verify(signature, b"report")
    assert not KEY.verify(signature, b"Report")
    assert not KEY.verify("", b"report")
    assert not KEY.verify("\u00e9", b"report")
    assert not GangKey("other", "job-1").verify(signature, b"report")
    assert not GangKey("secret", "job-2").verify(signature, b"report")
    assert KEY.sign(b"a", b"b") != KEY.sign(b"ab"), "parts do not run into each other"


def test_a_stranger_cannot_end_a_run(server: EventServer) -> None:
    other = {HEADER: GangKey("guessed", "job-1").sign(END)}
    assert post(server.port, END) == 403
    assert post(server.port, END, **other) == 403
    assert still_trains(server.port)


def test_what_is_no_report_is_refused_also_with_the_key(server: EventServer) -> None:
    report = json.loads(END)
    for body in (
        b"",
        b"\xff\x00",
        b"[]",
        b"null",
        json.dumps({**report, "index": "0"}).encode(),
        json.dumps({**report, "index": -1}).encode(),
        json.dumps({**report, "index": 10**12}).encode(),
        json.dumps({**report, "uid": "x" * 1000}).encode(),
        json.dumps({**report, "state": "asleep"}).encode(),
        json.dumps({**report, "more": 1}).encode(),
        json.dumps({**report, "progress": 1}).encode(),
        json.dumps({**report, "progress": [{**ROW, "phase": "asleep"}]}).encode(),
        json.dumps({**report, "progress": [{**ROW, "idle": "long"}]}).encode(),
        json.dumps({**report, "progress": [{**ROW, "step": 10**12}]}).encode(),
    ):
        assert post(server.port, body, **{HEADER: KEY.sign(body)}) == 400, body
    assert still_trains(server.port)


def test_a_gang_is_its_job_else_its_key_and_coordinator_else_itself() -> None:
    assert GangKey("secret", "job-1").gang("pod-0") == GangKey("", "job-1").gang("") == "job-1"
    assert GangKey("secret").gang("pod-0") == GangKey("secret").gang("pod-0")
    assert len({GangKey(key).gang(pod) for key in ("a", "b") for pod in ("pod-0", "pod-1")}) == 4
    assert "secret" not in GangKey("secret").gang("pod-0")
    assert GangKey("secret").gang("") != GangKey("secret").gang(""), "two runs of one shell"


def test_a_body_that_is_too_large_is_not_read(server: EventServer) -> None:
    assert post(server.port, b"x", Content_Length=str(1 << 40)) == 413
    assert post(server.port, b"x", Content_Length="-1") == 413
    assert still_trains(server.port)


def test_an_answer_that_is_not_signed_is_not_obeyed() -> None:
    with serve(Coordinator(lambda: 1), "127.0.0.1", 0, GangKey("secret", "job-2")) as other:
        line = Remote("127.0.0.1", other.port, KEY)
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            assert line.report(Member(0, "mine", MemberState.IDLE, 1)) is None
            time.sleep(0.05)
        line.close()


def test_a_flood_of_connections_leaves_room(server: EventServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gang_http, "MAX_CONNECTIONS_OF_ONE_CLIENT", 8)
    threads = threading.active_count()
    flood = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)]
    time.sleep(0.5)
    assert threading.active_count() <= threads + 8
    for connection in flood:
        connection.close()
    assert still_trains(server.port)


def test_the_rendezvous_takes_from_elsewhere_what_is_signed() -> None:
    with Rendezvous(key=KEY) as rendezvous:
        signed = {HEADER: KEY.sign(b"PUT", b"/global/0", b"x")}

        def put(path: str, body: bytes, **headers: str) -> int:
            return rendezvous._handle(Request("PUT", path, body, headers, "10.1.0.8")).status

        assert put("/global/0", b"x") == 403
        assert put("/global/0", b"y", **signed) == 403
        assert put("/global/1", b"x", **signed) == 403
        assert put("/global/0", b"x", **signed) == 200
