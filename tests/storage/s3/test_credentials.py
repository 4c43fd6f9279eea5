"""Who may not, is told so at once; nothing is ever asked without a signature."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.storage import faulty
from tests.storage.faulty import FaultyProxy, faulty_proxy
from trainer.errors import ConfigError
from trainer.storage import Store, open_store

Ask = Callable[[Store], object]
OPERATIONS: dict[str, Ask] = {
    "get": lambda store: store.get("k"),
    "get_range": lambda store: store.get_range("k", 0, 1),
    "put": lambda store: store.put("k", b"x"),
    "put_if_absent": lambda store: store.put("k", b"x", if_absent=True),
    "stat": lambda store: store.stat("k"),
    "list": lambda store: list(store.list()),
    "delete": lambda store: store.delete("k"),
}
every_operation = pytest.mark.parametrize("ask", OPERATIONS.values(), ids=OPERATIONS.keys())


@pytest.fixture
def proxy(moto: str, s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    with faulty_proxy(moto) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


@every_operation
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "AccessDenied"),
        (403, "SignatureDoesNotMatch"),
        (403, "InvalidAccessKeyId"),
        (403, "RequestTimeTooSkewed"),
        (404, "XAdminUserNotFound"),
    ],
)
def test_a_refusal_is_a_permission_error_at_once(
    proxy: FaultyProxy, s3: str, ask: Ask, status: int, code: str
) -> None:
    proxy.spoil("", *[faulty.says(status, code, "you may not")] * 10)
    with pytest.raises(PermissionError, match=rf"^{s3}/k?: access denied: {code} \({status}\): you may not$"):
        ask(open_store(s3))
    assert len(proxy.seen) <= 2, "one request, and one more where a HEAD was refused without words"


@every_operation
def test_without_credentials_nothing_is_asked(
    proxy: FaultyProxy, s3: str, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(PermissionError, match=rf"^{s3}/k?: access denied: .*Unable to locate credentials"):
        ask(open_store(s3))
    assert proxy.seen == []


@every_operation
def test_a_missing_bucket_is_named(s3: str, ask: Ask) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"^s3://no-such-bucket/k?: there is no bucket 'no-such-bucket'$"
    ):
        ask(open_store("s3://no-such-bucket"))


def old_key_expired(request: faulty.Handler) -> None:
    if "Credential=OLD/" in request.headers.get("Authorization", ""):
        faulty.says(400, "ExpiredToken", "The provided token has expired.")(request)
    else:
        request.send(*request.forward())


@pytest.fixture
def credentials(proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Writes a key into the credentials file, as whoever rotates it does; the key OLD has expired."""
    path = tmp_path / "credentials"

    def write(key: str) -> None:
        path.write_text(f"[default]\naws_access_key_id={key}\naws_secret_access_key=s\naws_session_token=t\n")

    write("OLD")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    proxy.spoil("", *[old_key_expired] * 1000)
    return write


@every_operation
def test_an_expired_token_is_read_again(
    s3: str, proxy: FaultyProxy, credentials: Callable[[str], None], ask: Ask
) -> None:
    store = open_store(s3)
    credentials("NEW")
    if ask is not OPERATIONS["put_if_absent"]:
        open_store(s3).put("k", b"x")
    ask(store)
    asked_with = [headers.get("Authorization", "") for headers in proxy.headers_seen]
    assert any("Credential=OLD/" in each for each in asked_with), "the store began with the old one"
    assert "Credential=NEW/" in asked_with[-1]


@every_operation
def test_a_token_that_stays_expired_is_a_permission_error(
    s3: str, proxy: FaultyProxy, credentials: Callable[[str], None], ask: Ask
) -> None:
    with pytest.raises(
        PermissionError, match=rf"^{s3}/k?: access denied: ExpiredToken \(400\): .*has expired"
    ):
        ask(open_store(s3))
    assert len(proxy.seen) <= 4


def test_threads_that_meet_the_same_expiry_all_go_on(
    s3: str, proxy: FaultyProxy, credentials: Callable[[str], None]
) -> None:
    store = open_store(s3)
    credentials("NEW")
    open_store(s3).put("k", b"0123456789")
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: store.get("k"), range(64))) == {b"0123456789"}


class TestOnAServerThatChecks:
    """versitygw, where it is on the PATH."""

    @every_operation
    def test_a_wrong_secret(self, strict_s3: str, monkeypatch: pytest.MonkeyPatch, ask: Ask) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(PermissionError, match=f"^{strict_s3}/k?: .*SignatureDoesNotMatch"):
            ask(open_store(strict_s3))

    @every_operation
    def test_an_unknown_key(self, strict_s3: str, monkeypatch: pytest.MonkeyPatch, ask: Ask) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unknown")
        with pytest.raises(
            PermissionError, match=f"^{strict_s3}/k?: .*(XAdminUserNotFound|InvalidAccessKeyId)"
        ):
            ask(open_store(strict_s3))

    @every_operation
    def test_a_missing_bucket(self, strict_s3: str, ask: Ask) -> None:
        with pytest.raises(FileNotFoundError, match="there is no bucket 'no-such-bucket'"):
            ask(open_store("s3://no-such-bucket"))


def test_a_web_identity_is_enough(
    s3: str, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A pod's service account token is exchanged for keys (IRSA), and these sign the request."""
    (tmp_path / "token").write_text("a.service.account.token")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/cars")
    open_store(s3).put("k", b"x")
    exchange, put = proxy.headers_seen
    assert "Authorization" not in exchange
    assert "Credential=ASIA" in put["Authorization"]


def test_a_server_without_tls_is_no_passing_fault(
    s3: str, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url.replace("http:", "https:"))
    with pytest.raises(ConfigError, match=f"^{s3}/k: .*https://"):
        open_store(s3).get("k")


def test_a_profile_is_enough(s3: str, moto: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Key, region and endpoint from ~/.aws alone, as with `aws --profile cars`."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    (tmp_path / "config").write_text(f"[profile cars]\nregion=eu-west-1\nendpoint_url={moto}\n")
    (tmp_path / "credentials").write_text("[cars]\naws_access_key_id=a\naws_secret_access_key=b\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "cars")
    store = open_store(s3)
    store.put("k", b"x")
    assert store.get("k") == b"x"
