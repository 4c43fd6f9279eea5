"""Stores over HTTPS: those that refuse trailing checksums, and certificates of private authorities."""

import datetime
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.storage import faulty
from tests.storage.faulty import FaultyProxy
from tests.storage.tls import certificate, has_trailer, refuse_trailers, tls_proxy
from trainer.doctor import examine
from trainer.errors import ConfigError
from trainer.storage import open_store, retry
from trainer.storage.s3 import requests
from trainer.storage.s3.endpoints import Endpoints
from trainer.storage.s3.s3_store import S3Store

REFUSALS = {
    "Ceph, Storj, Hitachi": (411, "MissingContentLength", "You must provide the Content-Length HTTP header."),
    "mdx": (
        400,
        "InvalidArgument",
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, or a valid "
        "sha256 value.",
    ),
    "older MinIO": (
        400,
        "XAmzContentSHA256Mismatch",
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    ),
    "other names": (400, "InvalidTrailer", "Invalid trailing header names in x-amz-trailer"),
    "not there": (
        501,
        "NotImplemented",
        "A header you provided implies functionality that is not implemented",
    ),
    "signed otherwise": (
        403,
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided.",
    ),
}


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def proxy(moto: str, s3: str, pem: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    monkeypatch.setattr(retry, "BASE_SECONDS", 0.01)
    monkeypatch.setattr(retry, "FIRST_CONTACT_SECONDS", 0.3)
    monkeypatch.setattr(requests, "ENDPOINTS", Endpoints())
    monkeypatch.setenv("TRAINER_RETRY_SECONDS", "5")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(pem))
    with tls_proxy(moto, pem) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_a_store_that_refuses_trailing_checksums_is_recognised_once(
    s3: str, proxy: FaultyProxy, refusal: tuple[int, str, str], caplog: pytest.LogCaptureFixture
) -> None:
    proxy.outage = refuse_trailers(*refusal)
    causes: Counter[str] = Counter()
    bucket, large = s3.removeprefix("s3://"), bytes(range(256)) * 45_000
    store = S3Store(bucket, part_bytes=5 << 20, on_retry=lambda cause: causes.update([cause]))
    assert not store.refuses_checksums
    etag = store.put("token", b"mine", if_absent=True)
    with pytest.raises(FileExistsError):
        store.put("token", b"another", if_absent=True)
    assert sum(map(has_trailer, proxy.headers_seen)) == 1
    store.put("token", b"newer", if_match=etag)
    store.put("large", large)
    assert store.get("large") == large
    assert open_store(s3).put("k", b"another store of the process")
    assert sum(map(has_trailer, proxy.headers_seen)) == 1, "the next ones start without"
    assert store.refuses_checksums
    assert not store.refuses_conditions
    assert not causes
    (line,) = caplog.messages
    assert line.startswith(f"{proxy.url} does not accept uploads with checksums ({refusal[1]} ({refusal[0]})")
    assert line.endswith("AWS_REQUEST_CHECKSUM_CALCULATION=when_required starts without")


def test_a_large_upload_that_is_the_first_to_be_refused(s3: str, proxy: FaultyProxy) -> None:
    """Eight threads meet the refusal at the same time."""
    proxy.outage = refuse_trailers(*REFUSALS["Ceph, Storj, Hitachi"])
    data = bytes(range(256)) * 180_000
    store = S3Store(s3.removeprefix("s3://"), part_bytes=5 << 20)
    assert store.put("large", data).endswith("-9")
    assert store.get("large") == data


def test_a_store_that_takes_trailing_checksums_keeps_getting_them(
    s3: str, proxy: FaultyProxy, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(s3)

    def answers(request: faulty.Handler) -> None:
        trailers.append(has_trailer(dict(request.headers)))
        request.send(200, {"ETag": '"5"'}, b"")

    trailers: list[bool] = []
    proxy.spoil("PUT", answers, answers)
    store.put("k", b"x")
    store.put("k", b"x")
    assert trailers == [True, True]
    assert not store.refuses_checksums
    assert not caplog.messages


def test_a_refusal_for_another_reason_is_what_it_was(
    s3: str, proxy: FaultyProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong secret key is answered as some stores answer to a trailer."""
    refused = faulty.says(*REFUSALS["signed otherwise"])
    store = open_store(s3)
    proxy.spoil("PUT", refused, refused)
    with pytest.raises(PermissionError, match="access denied: SignatureDoesNotMatch"):
        store.put("k", b"x")
    assert proxy.faults_left == 0
    assert not store.refuses_checksums
    assert not caplog.messages


def test_a_store_without_trailers_and_conditions(s3: str, proxy: FaultyProxy) -> None:
    without = refuse_trailers(*REFUSALS["not there"])

    def refuse(request: faulty.Handler) -> None:
        if request.command == "PUT" and request.headers.get("If-None-Match"):
            faulty.says(501, "NotImplemented", "A header you provided implies functionality")(request)
        else:
            without(request)

    proxy.outage = refuse
    store = open_store(s3)
    store.put("token", b"mine", if_absent=True)
    with pytest.raises(FileExistsError):
        store.put("token", b"another", if_absent=True)
    assert store.refuses_conditions
    assert store.refuses_checksums


def test_the_doctor_names_it(s3: str, proxy: FaultyProxy) -> None:
    proxy.outage = refuse_trailers(*REFUSALS["Ceph, Storj, Hitachi"])
    tried = {check.what: check for check in examine(f"{s3}/doctor", timed=False)}
    assert tried["write"].mark == "ok"
    assert "without checksums, which this store refuses: set AWS_REQUEST" in tried["write"].found
    assert {check.mark for check in tried.values()} <= {"ok"}


def test_the_doctor_names_a_store_that_keeps_the_framing_of_an_upload(s3: str, proxy: FaultyProxy) -> None:
    """As servers do that take an aws-chunked body for the object."""

    def keep_framing(request: faulty.Handler) -> None:
        if request.command == "PUT" and has_trailer(dict(request.headers)):
            kept[request.path] = request.body
            request.send(200, {"ETag": '"framed"'}, b"")
        elif request.path in kept and request.command == "GET":
            body = kept[request.path][2:5]
            where = f"bytes 2-4/{len(kept[request.path])}"
            request.send(206, {"ETag": '"framed"', "Content-Range": where}, body)
        elif request.path in kept and request.command == "HEAD":
            answer = {"ETag": '"framed"', "Last-Modified": "Mon, 30 Nov 2026 09:00:00 GMT"}
            request.send(200, answer | {"Content-Length": str(len(kept[request.path]))}, b"")
        else:
            request.send(*request.forward())

    kept: dict[str, bytes] = {}
    proxy.outage = keep_framing
    (failed,) = [check for check in examine(f"{s3}/doctor", timed=False) if check.mark == "error"]
    assert failed.what == "read a range"
    assert "AWS_REQUEST_CHECKSUM_CALCULATION=when_required" in failed.found


def test_a_private_authority_is_named_by_the_environment_or_the_configuration(
    s3: str, proxy: FaultyProxy, pem: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.outage = refuse_trailers(*REFUSALS["older MinIO"])
    monkeypatch.delenv("AWS_CA_BUNDLE")
    (tmp_path / "config").write_text(f"[default]\nca_bundle = {pem}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    store = S3Store(s3.removeprefix("s3://"))
    etag = store.put("k", b"0123456789")
    assert store._requests.fast.get_range("k", 2, 5, etag) == b"234"


def test_an_unknown_authority_has_its_remedy(
    s3: str, proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE")
    with pytest.raises(
        ConfigError, match=r"VERIFY_FAILED.*If its authority is a private one, set AWS_CA_BUNDLE"
    ):
        open_store(s3).get("k")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate(tmp_path / "another")))
    with pytest.raises(ConfigError, match=r"VERIFY_FAILED.*set AWS_CA_BUNDLE to a PEM file"):
        open_store(s3).get("k")


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text", "key"])
def test_a_bundle_that_cannot_be_used_is_refused_at_once(
    s3: str, proxy: FaultyProxy, pem: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    bundle = tmp_path / "ca.pem"
    content = {"empty": "", "text": "hello", "key": pem.with_name("key.pem").read_text()}
    if kind == "folder":
        bundle.mkdir()
    elif kind != "missing":
        bundle.write_text(content[kind])
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    with pytest.raises(
        ConfigError, match=rf"AWS_CA_BUNDLE .*{bundle} cannot be read as certificates"
    ) as error:
        open_store(s3)
    assert "unset it for the public authorities" in str(error.value)
    assert not proxy.seen
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:1")
    open_store(s3)  # plain HTTP needs none


@pytest.mark.parametrize(
    ("host", "begins", "remedy"),
    [
        ("store.example", -1, "Use in AWS_ENDPOINT_URL a name that the store's certificate is for"),
        ("localhost", -9, "Renew the store's certificate, or correct the clock"),
        ("localhost", 9, "Renew the store's certificate, or correct the clock"),
    ],
    ids=["another host", "expired", "not yet"],
)
def test_a_certificate_that_is_not_valid_has_its_remedy(
    s3: str, moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, begins: int, remedy: str
) -> None:
    pem = certificate(tmp_path / "tls", host, datetime.timedelta(days=begins))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(pem))
    with tls_proxy(moto, pem) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        with pytest.raises(ConfigError, match=remedy):
            open_store(s3).get("k")


def test_https_to_a_server_of_plain_http_has_its_remedy(
    s3: str, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto.replace("http:", "https:"))
    with pytest.raises(
        ConfigError, match="If the server speaks plain HTTP, write http:// in AWS_ENDPOINT_URL"
    ):
        open_store(s3).get("k")


def test_a_checksum_in_a_header_that_is_refused_over_plain_http(
    moto: str, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over HTTP the checksum is in a header."""
    monkeypatch.setattr(requests, "ENDPOINTS", Endpoints())

    def refuse(request: faulty.Handler) -> None:
        if request.headers.get("x-amz-sdk-checksum-algorithm"):
            message = "Unsupported header 'x-amz-sdk-checksum-algorithm' received for this API call."
            faulty.says(400, "InvalidArgument", message)(request)
        else:
            request.send(*request.forward())

    with faulty.faulty_proxy(moto) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.outage = refuse
        store = open_store(s3)
        store.put("k", b"x")
        assert store.get("k") == b"x"
        assert store.refuses_checksums
