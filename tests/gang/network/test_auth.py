"""Only pods of the same Job, with the same key, are heard; strangers and floods harm nobody."""

import http.client
import ipaddress
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from trainer.distribution import rank_variables
from trainer.distribution.meeting import meet
from trainer.errors import EXIT_INVALID, TransientError
from trainer.gang.coordinator import Coordinator, serve
from trainer.gang.line import Remote
from trainer.gang.members import Member, MemberState, RunRanks
from trainer.gang.messages import REPORT, encode_member
from trainer.gang.network import http as gang_http
from trainer.gang.network.auth import HEADER, GangKey
from trainer.gang.network.event_server import EventServer
from trainer.gang.network.http import Request, Response
from trainer.gang.network.rendezvous import Relay, Rendezvous
from trainer.gang.network.reports import SEQUENCE, SESSION, ReportClient, Reports

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


def session(port: int, key: GangKey = KEY) -> str:
    """As a server tells it to whoever has the key."""
    return ask(port, b"", **{SEQUENCE: "/a/1", HEADER: key.sign(b"/a/1", b"")})[1][SESSION]


def signed(port: int, body: bytes, count: int, key: GangKey = KEY) -> dict[str, str]:
    """The headers of a report."""
    sequence = f"{session(port)}/line/{count}"
    return {SEQUENCE: sequence, HEADER: key.sign(sequence.encode(), body)}


def post(port: int, body: bytes, **headers: str) -> int:
    return ask(port, body, **headers)[0]


def ask(port: int, body: bytes, **headers: str) -> tuple[int, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(
        "POST", REPORT, body, {name.replace("_", "-"): value for name, value in headers.items()}
    )
    response = connection.getresponse()
    connection.close()
    return response.status, response.headers


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
    other = signed(server.port, END, 1, GangKey("guessed", "job-1"))
    assert post(server.port, END) == 403
    assert post(server.port, END, **other) == 403
    assert post(server.port, END, **{HEADER: KEY.sign(b"", END)}) == 409, "without a session"
    assert still_trains(server.port)


def test_what_is_no_report_is_refused_also_with_the_key(server: EventServer) -> None:
    report = json.loads(END)
    wrong = (
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
        json.dumps({**report, "progress": [{**ROW, "work": "much"}]}).encode(),
        json.dumps({**report, "node": 1}).encode(),
        json.dumps({**report, "node": "n" * 1000}).encode(),
    )
    for count, body in enumerate(wrong):
        assert post(server.port, body, **signed(server.port, body, count)) == 400, body
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
    with Rendezvous(key=KEY, generation="2-b") as rendezvous:
        signed = {HEADER: KEY.sign(b"2-b", b"PUT", b"/global/0", b"x")}

        def put(path: str, body: bytes, **headers: str) -> int:
            return rendezvous._handle(Request("PUT", path, body, headers, "10.1.0.8")).status

        assert put("/global/0", b"x") == 403
        assert put("/global/0", b"y", **signed) == 403
        assert put("/global/1", b"x", **signed) == 403
        assert put("/global/0", b"x", **signed) == 200
        stale = {HEADER: KEY.sign(b"1-a", b"PUT", b"/global/0", b"x")}
        assert put("/global/0", b"x", **stale) == 403


def test_a_report_that_was_recorded_is_not_accepted_again(
    server: EventServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Not by this coordinator, nor by another one of the same gang."""
    idle = encode_member(Member(0, "mine", MemberState.IDLE, 1))
    first, second = signed(server.port, idle, 1), signed(server.port, idle, 2)
    assert [post(server.port, idle, **headers) for headers in (first, second)] == [200, 200]
    assert [post(server.port, idle, **headers) for headers in (first, second)] == [403, 403]
    assert caplog.messages == ["refused a report from 127.0.0.1: it is a copy of an earlier one"]
    with serve(Coordinator(lambda: 1), "127.0.0.1", 0, KEY) as another:
        assert post(another.port, idle, **second) == 409
    assert still_trains(server.port)


def test_an_answer_that_was_recorded_is_not_obeyed() -> None:
    """Each answer is signed for its report, which is another one each time."""
    answers: list[Response] = []

    def record(request: Request) -> Response:
        if len(answers) < 2:
            answers.append(reports.handle(request))
        return answers[-1]

    reports = Reports(lambda report, client: b"answer", KEY)
    with EventServer(record, "127.0.0.1", 0, name="records", keep_alive=True) as server:
        client = ReportClient("127.0.0.1", server.port, KEY)
        assert client.ask(b"report") == b"answer"
        with pytest.raises(ConnectionError, match="belongs to another Job"):
            client.ask(b"report")
        client.close()


def test_a_pod_of_an_older_generation_is_told_why_its_ranks_cannot_meet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Rendezvous("", KEY, "2-b") as rendezvous:
        monkeypatch.setattr(ipaddress.IPv4Address, "is_loopback", False)
        with Relay("127.0.0.1", rendezvous.port, KEY, "1-a") as relay:
            for name, value in {
                rank_variables.RENDEZVOUS_ADDRESS: "127.0.0.1",
                rank_variables.RENDEZVOUS_PORT: str(relay.port),
                rank_variables.RANK: "0",
                rank_variables.SIZE: "2",
            }.items():
                monkeypatch.setenv(name, value)
            with pytest.raises(TransientError, match="403 not signed with the gang's key, or for another"):
                meet(0.1)
