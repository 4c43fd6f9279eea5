"""What tests of every part stand on: an S3 server, stores by URL, real images."""

import gc
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.processes import free_port, s3_environment, start_s3, start_server, stop_server
from tests.commands import dataset, folders  # noqa: F401  fixtures for every part
from tests.run_processes import digits, four_ranks, runs, two_ranks  # noqa: F401
from tests.trained import trained  # noqa: F401

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

STRICT_KEY, STRICT_SECRET = "strict-key", "strict-secret"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest first, so that no process waits for another at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """Leaves the objects of imported modules out of garbage collection: Keras collects twice a network."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def fast_tests_stay_fast(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that is marked as fast starts no process, and imports no TensorFlow."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a test that is marked as fast starts no process")

    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("fast"):
            patch.setattr(subprocess, "Popen", refuse)
            if "tensorflow" not in sys.modules:
                patch.setitem(sys.modules, "tensorflow", None)
        yield


def use_s3(monkeypatch: pytest.MonkeyPatch, endpoint: str, key: str = "test", secret: str = "test") -> None:
    """Point boto3, here and in subprocesses, at `endpoint`, and hide every AWS setting of the user."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower() in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name)
    for name, value in s3_environment(endpoint, key, secret).items():
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
    server, environment = start_s3(tmp_path_factory.mktemp("moto") / "log")
    try:
        yield environment["AWS_ENDPOINT_URL"]
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
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts an empty disk of a size such as `16k` -> its folder. Skips without the right to mount one."""
    folder = tmp_path / "small-disk"

    def mount(size: str) -> Path:
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
        if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("needs the right to mount a small disk")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def sample_data() -> Path:
    """The folder of real images and HDF5 files that TRAINER_SAMPLE_DATA names."""
    if not os.environ.get("TRAINER_SAMPLE_DATA"):
        pytest.skip("TRAINER_SAMPLE_DATA names no folder of sample data")
    return Path(os.environ["TRAINER_SAMPLE_DATA"])


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Shows a measured figure, whatever pytest captures."""

    def show(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {text}", end="", flush=True)

    return show
