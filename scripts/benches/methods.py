"""Each method of a benchmark runs in a process of its own: ours in this environment, others in the peers'."""

import json
import subprocess
import sys
from typing import Any

from scripts.benches.peers import HERE, peers_python

REASONS: dict[str, str] = {}
"""Why a method of others has no figure."""

Figures = dict[str, Any]


def run(method: str, options: dict[str, Any], module: str = "") -> Figures | None:
    """What a method of `module` measured, or one of the peers; None where a peer could not be measured.

    Raises RuntimeError where a method of ours fails.
    """
    python: Any = sys.executable if module else peers_python()
    if not module and isinstance(python, str):
        REASONS[method] = python
        return None
    command = [str(python), "-m", module] if module else [str(python), str(HERE / "readers.py")]
    done = subprocess.run([*command, method, json.dumps(options)], capture_output=True, text=True)
    if done.returncode and module:
        raise RuntimeError(f"{method} failed:\n{done.stderr}")
    if done.returncode:
        REASONS[method] = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        return None
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def download(options: dict[str, Any]) -> list[str]:
    """The dataset's shards as files in `folder`."""
    import boto3

    s3, paths = boto3.client("s3"), []
    for number, key in enumerate(options["keys"]):
        paths.append(f"{options['folder']}/shard-{number}.h5")
        s3.download_file(options["bucket"], key, paths[-1])
    return paths
