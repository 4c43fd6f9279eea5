"""Processes that never outlive the one that started them."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

START_SECONDS = 60
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)  # loaded before any fork


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


def start_s3(log: Path) -> "tuple[subprocess.Popen[bytes], dict[str, str]]":
    """An S3 server on loopback, and the environment that reaches it. It checks no secrets."""
    port = free_port()
    server = start_server(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port, log
    )
    return server, s3_environment(f"http://127.0.0.1:{port}")


def s3_environment(endpoint: str, key: str = "test", secret: str = "test") -> dict[str, str]:
    """What points boto3 at `endpoint` alone, whatever AWS settings the user has."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
