"""Real ranks on a server that does not answer for a while."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.processes import die_with_parent, start_s3, stop_server
from tests.conftest import client
from tests.run_processes import EXACT, Runs, committed_steps
from trainer.config import load
from trainer.storage import open_store

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[subprocess.Popen[bytes]]":
    """An S3 server of this test alone, with a bucket `cars`, that may be suspended."""
    server, environment = start_s3(tmp_path / "server-log")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    client(environment["AWS_ENDPOINT_URL"]).create_bucket(Bucket="cars")
    try:
        yield server
    finally:
        server.send_signal(signal.SIGCONT)
        stop_server(server)


class Run:
    """A run of two ranks on that server, stopped while it has some checkpoints."""

    def __init__(self, config: Path, server: "subprocess.Popen[bytes]") -> None:
        self.store = open_store(load(config).run.url)
        self.command = [sys.executable, "-m", "trainer", "train", "--config", str(config), "--ranks", "2"]
        self.process = subprocess.Popen(
            self.command,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,
        )
        while not committed_steps(self.store):
            assert self.process.poll() is None
            time.sleep(0.05)
        server.send_signal(signal.SIGSTOP)

    def end(self, code: int) -> str:
        """What it wrote."""
        output, _ = self.process.communicate()
        assert self.process.returncode == code, output
        return output


def config_of(runs: Runs, name: str, **run: object) -> Path:
    return runs.config(name, **EXACT | {"run": EXACT["run"] | {"url": f"s3://cars/{name}"} | run})


def test_a_server_that_hangs_for_75_s_costs_no_rank_and_no_step(
    runs: Runs,
    two_ranks: Path,
    server: "subprocess.Popen[bytes]",
):
    run = Run(config_of(runs, "hanging"), server)
    time.sleep(75)
    server.send_signal(signal.SIGCONT)
    output = run.end(0)
    assert "waiting for s3://cars/hanging" in output
    assert "s3://cars answers again after" in output
    assert "resuming" not in output
    for name in ("metrics.csv", "weights/last.weights.h5"):
        assert run.store.get(name) == (two_ranks / "run" / name).read_bytes()


def test_asked_to_stop_while_the_server_hangs_it_ends_with_the_grace_and_goes_on_later(
    runs: Runs, server: "subprocess.Popen[bytes]"
):
    run = Run(config_of(runs, "stopped", grace=6), server)
    time.sleep(1)
    began = time.monotonic()
    run.process.send_signal(signal.SIGTERM)
    run.end(75)
    assert time.monotonic() - began < 6 + 5
    server.send_signal(signal.SIGCONT)
    again = subprocess.run(run.command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "resuming at step" in again.stderr
