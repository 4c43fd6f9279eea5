"""The S3 server of a benchmark: the one that the environment names, else versitygw on loopback."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from scripts.processes import free_port, s3_environment, start_server, stop_server

ENDPOINT, BUCKET = "AWS_ENDPOINT_URL", "CARS_BENCH_BUCKET"


@contextmanager
def bench_store(folder: Path) -> Iterator[str]:
    """A bucket that AWS's environment variables reach, on a server that checks signatures.

    Raises RuntimeError where none is named and versitygw is not on the PATH.
    """
    if ENDPOINT in os.environ:
        yield os.environ[BUCKET]
        return
    binary = shutil.which("versitygw")
    if not binary:
        raise RuntimeError(f"expected an S3 server: {ENDPOINT} and {BUCKET}, or versitygw on the PATH")
    port, root = free_port(), folder / "store"
    root.mkdir()
    key, secret = "bench-key", "bench-secret"
    command = [binary, "--port", f"127.0.0.1:{port}", "--keep-alive", "--quiet", "posix", str(root)]
    server = start_server(command, port, folder / "store.log", ROOT_ACCESS_KEY=key, ROOT_SECRET_KEY=secret)
    before = dict(os.environ)
    try:
        os.environ |= s3_environment(f"http://127.0.0.1:{port}", key, secret)
        import boto3

        boto3.client("s3").create_bucket(Bucket="bench")
        yield "bench"
    finally:
        stop_server(server)
        os.environ.clear()
        os.environ |= before


@cache
def kept_store() -> tuple[str, Path]:
    """The bucket of `bench_store` and a folder for files, both until this process ends."""
    stack = ExitStack()
    atexit.register(stack.close)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    return stack.enter_context(bench_store(folder)), folder
