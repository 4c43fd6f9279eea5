"""An endpoint of credentials that fails for a while is waited for, as the store itself is."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.utils import ContainerMetadataFetcher

from trainer.errors import explain_os_error
from trainer.storage import open_store

KEYS = {
    "AccessKeyId": "test",
    "SecretAccessKey": "test",
    "Token": "t",
    "Expiration": "2099-01-01T00:00:00Z",
    "Code": "Success",
}


class Endpoint(ThreadingHTTPServer):
    """Answers with keys, as the container and the instance services of AWS do, after some failures."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.failures, self.status, self.asked = 0, 500, 0


class Answer(BaseHTTPRequestHandler):
    server: Endpoint

    def do_GET(self) -> None:
        self.server.asked += 1
        failing = self.server.failures > 0
        self.server.failures -= failing
        role = self.path.endswith("/security-credentials/")
        body = b"busy" if failing else b"role" if role else json.dumps(KEYS).encode()
        self.send_response(self.server.status if failing else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_GET

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def endpoint(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr(ContainerMetadataFetcher, "SLEEP_TIME", 0.01)
    monkeypatch.setenv("TRAINER_RETRY_SECONDS", "20")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_a_container_s_endpoint_that_fails_is_asked_again(
    endpoint: Endpoint, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.url)
    causes: list[str] = []
    endpoint.failures = 2 * ContainerMetadataFetcher.RETRY_ATTEMPTS
    store = open_store(s3, on_retry=causes.append)
    store.put("k", b"x")
    assert causes == ["credentials"] * 2


def test_an_instance_s_endpoint_that_fails_is_asked_again(
    endpoint: Endpoint, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint.url)
    endpoint.failures = 5
    open_store(s3).put("k", b"x")
    assert endpoint.failures == 0


def test_an_endpoint_that_goes_on_failing_is_a_passing_cause(
    endpoint: Endpoint, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.url)
    monkeypatch.setenv("TRAINER_RETRY_SECONDS", "0.3")
    endpoint.failures = 10**6
    with pytest.raises(TimeoutError, match=f"^{s3}: gave up after .*non 200 response 500") as failure:
        open_store(s3).get("k")
    assert explain_os_error(failure.value).exit_code == 75


@pytest.mark.parametrize("status", [401, 403, 404])
def test_an_endpoint_that_refuses_is_believed_at_once(
    endpoint: Endpoint, s3: str, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.url)
    endpoint.failures, endpoint.status = 10**6, status
    with pytest.raises(PermissionError, match=f"response {status}"):
        open_store(s3).get("k")
    assert endpoint.asked <= 2 * ContainerMetadataFetcher.RETRY_ATTEMPTS


def test_an_instance_without_a_role_has_no_credentials(
    endpoint: Endpoint, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint.url)
    endpoint.failures, endpoint.status = 10**6, 404
    with pytest.raises(PermissionError, match="Unable to locate credentials"):
        open_store(s3).get("k")
