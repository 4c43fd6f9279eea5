"""Processes of the trainer that are sent a signal, and what they leave behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from scripts.processes import die_with_parent


def start(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    def prepare() -> None:
        die_with_parent()
        # A shell lets the commands it starts in the background ignore SIGINT, these tests among them.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    return subprocess.Popen(
        [sys.executable, "-m", "trainer", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
    )


def wait_for_handlers(process: "subprocess.Popen[str]") -> None:
    """Until Python has started and the trainer's first lines have run; before, signals are Python's."""
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1]
        if int(caught, 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.001)


def send(process: "subprocess.Popen[str]", number: int, within: float = 60) -> tuple[int, str, str]:
    """Its exit code, stdout and stderr after the signal."""
    process.send_signal(number)
    output, errors = process.communicate(timeout=within)
    return process.returncode, output, errors


def temporary_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.suffix in (".tmp", ".part") or "trainer-" in path.name]
