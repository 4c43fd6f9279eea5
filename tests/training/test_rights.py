"""Rights to the store that are missing at the start are 64; taken away in the middle of a run, 75."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from scripts.processes import die_with_parent, free_port, s3_environment, start_server, stop_server

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
ROOT_KEY, ROOT_SECRET, KEY, SECRET = "root-key", "root-secret", "cars", "cars-secret"


class Rights:
    """A bucket on a server that checks rights, and what a user may do in it."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.root = boto3.Session(ROOT_KEY, ROOT_SECRET, region_name="us-east-1").client(
            "s3", endpoint_url=endpoint
        )
        self.root.create_bucket(Bucket="cars")
        credentials = ["--access", ROOT_KEY, "--secret", ROOT_SECRET, "--endpoint-url", endpoint]
        user = ["--access", KEY, "--secret", SECRET, "--role", "user"]
        subprocess.run(["versitygw", "admin", *credentials, "create-user", *user], check=True)

    def give(self) -> None:
        statement = {
            "Effect": "Allow",
            "Principal": [KEY],
            "Action": ["s3:*"],
            "Resource": ["arn:aws:s3:::cars", "arn:aws:s3:::cars/*"],
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.root.put_bucket_policy(Bucket="cars", Policy=policy)

    def take(self) -> None:
        self.root.delete_bucket_policy(Bucket="cars")


@pytest.fixture
def rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rights]:
    if not shutil.which("versitygw"):
        pytest.skip("versitygw, an S3 server that checks rights, is not on the PATH")
    for folder in ("data", "iam"):
        (tmp_path / folder).mkdir()
    port = free_port()
    server = start_server(
        [
            "versitygw",
            "--port",
            f"127.0.0.1:{port}",
            "--iam-dir",
            f"{tmp_path}/iam",
            "posix",
            f"{tmp_path}/data",
        ],
        port,
        tmp_path / "log",
        ROOT_ACCESS_KEY=ROOT_KEY,
        ROOT_SECRET_KEY=ROOT_SECRET,
    )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        for name, value in s3_environment(endpoint, KEY, SECRET).items():
            monkeypatch.setenv(name, value)
        yield Rights(endpoint)
    finally:
        stop_server(server)


def start(config: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "trainer", "train", "--config", str(config), "--ranks", "2"],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )


def test_no_rights_at_the_start_are_64_and_lost_rights_75(rights, runs):
    config = runs.config(
        "run",
        train={"epochs": 2000},
        run={"url": "s3://cars/runs/1", "checkpoint": {"every": "20 steps"}},
    )
    process = start(config)
    output, _ = process.communicate()
    assert process.returncode == 64, output
    assert "access denied" in output

    rights.give()
    process = start(config)
    deadline = time.monotonic() + 120
    while not rights.root.list_objects_v2(Bucket="cars", Prefix="runs/1/checkpoints").get("KeyCount"):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    rights.take()
    try:
        output, _ = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 75, output
    assert "access denied" in output
