"""What tests of every part stand on: an S3 server, stores by URL, real images."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

START_SECONDS = 60
PR_SET_PDEATHSIG = 1
STRICT_KEY, STRICT_SECRET = "strict-key", "strict-secret"
LIBC = ctypes.CDLL(None)


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def die_with_parent() -> None:
    """For `preexec_fn`: the kernel kills this process when the one that started it ends, however it ends."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start_server(command: list[str], port: int, log: Path, **env: str) -> "subprocess.Popen[bytes]":
    """Start a server in a process group of its own; returns once it takes connections on `port`."""
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
            env={**os.environ, **env},
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return server
    stop_server(server)
    raise RuntimeError(
        f"{command[0]} did not start on port {port}: {log.read_text(errors='replace')[-2000:]}"
    )


def stop_server(server: "subprocess.Popen[bytes]") -> None:
    """End the server with all its children."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if server.poll() is None:
            os.killpg(server.pid, number)
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                continue
    server.wait()


def use_s3(monkeypatch: pytest.MonkeyPatch, endpoint: str, key: str = "test", secret: str = "test") -> None:
    """Point boto3, here and in subprocesses, at `endpoint`, and hide every AWS setting of the user."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower() in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name)
    settings = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


def fresh_bucket(monkeypatch: pytest.MonkeyPatch, endpoint: str, key: str, secret: str) -> str:
    """`s3://bucket`, newly made at `endpoint`, which the environment now names."""
    use_s3(monkeypatch, endpoint, key, secret)
    bucket = f"test-{uuid.uuid4().hex}"
    client(endpoint, key, secret).create_bucket(Bucket=bucket)
    return f"s3://{bucket}"


@cache
def client(endpoint: str, key: str = "test", secret: str = "test") -> "S3Client":
    """Plain boto3, to look at a server from outside."""
    import boto3

    return boto3.Session(key, secret, region_name="us-east-1").client("s3", endpoint_url=endpoint)


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of an S3 server for this session's tests. It checks no secrets."""
    log = tmp_path_factory.mktemp("moto") / "log"
    port = free_port()
    server = start_server(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port, log
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stop_server(server)


@pytest.fixture
def s3(moto: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """`s3://bucket`, a fresh bucket, with the environment that reaches it (subprocesses inherit it)."""
    return fresh_bucket(monkeypatch, moto, "test", "test")


@pytest.fixture(scope="session")
def versitygw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of an S3 server that checks signatures (keys: STRICT_KEY, STRICT_SECRET), or skip."""
    if not shutil.which("versitygw"):
        pytest.skip("versitygw, an S3 server that checks signatures, is not on the PATH")
    folder = tmp_path_factory.mktemp("versitygw")
    (folder / "data").mkdir()
    port = free_port()
    server = start_server(
        ["versitygw", "--port", f"127.0.0.1:{port}", "--keep-alive", "--quiet", "posix", f"{folder}/data"],
        port,
        folder / "log",
        ROOT_ACCESS_KEY=STRICT_KEY,
        ROOT_SECRET_KEY=STRICT_SECRET,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stop_server(server)


@pytest.fixture
def strict_s3(versitygw: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Like `s3`, on a server that checks signatures and rights. Skipped where there is none."""
    return fresh_bucket(monkeypatch, versitygw, STRICT_KEY, STRICT_SECRET)


@pytest.fixture(params=["file", "s3"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store: the test runs once on each kind."""
    if request.param == "file":
        return f"file://{tmp_path}/store"
    url: str = request.getfixturevalue("s3")
    return f"{url}/some/prefix"


@pytest.fixture
def sample_data() -> Path:
    """The folder of real images and HDF5 files that TRAINER_SAMPLE_DATA names."""
    if not os.environ.get("TRAINER_SAMPLE_DATA"):
        pytest.skip("TRAINER_SAMPLE_DATA names no folder of sample data")
    return Path(os.environ["TRAINER_SAMPLE_DATA"])
