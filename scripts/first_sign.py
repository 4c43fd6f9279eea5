"""Seconds until each command prints something on a terminal: `python -m scripts.first_sign [--rounds N]`.

The commands fail, since nothing is where they look; what counts is when they say that they look. CPU seconds,
which other programs on the machine change less, are those of the command until it was ended.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

ARGUMENTS = {
    "--help": [],
    "prepare": ["none", "data"],
    "index": ["none"],
    "inspect": ["none"],
    "train": ["--recipe", "digits", "--set", "data.url=none", "--set", "run.url=run"],
    "supervise": ["--recipe", "digits", "--set", "data.url=none", "--set", "run.url=run"],
    "evaluate": ["none"],
    "predict": ["none.png", "--run", "none"],
    "report": ["none"],
    "compare": ["none"],
    "recipes": [],
    "model": ["lab-cnn"],
    "weights": ["./none", "file"],
    "runs": ["none"],
    "verify": ["none"],
    "status": [],
    "logs": ["none"],
    "wait": ["none"],
    "doctor": ["--quick"],
}


def seconds(command: str) -> tuple[float, float, str]:
    """Seconds from the start of the process to its first output, its CPU seconds, and the first line."""
    terminal, inner = os.openpty()
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer", command, *ARGUMENTS[command]],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        env={**os.environ, "KUBECONFIG": "/nonexistent"},
    )
    os.close(inner)
    first = os.read(terminal, 4096)
    taken = time.monotonic() - began
    process.kill()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    os.close(terminal)
    return taken, used.ru_utime + used.ru_stime, first.decode(errors="replace").strip().partition("\r\n")[0]


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts.first_sign", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="starts of each command (default: 5)")
    rounds: int = parser.parse_args().rounds
    for command in ARGUMENTS:
        found = [seconds(command) for _ in range(rounds)]
        walls, used, lines = zip(*found, strict=True)
        print(
            f"{command:10} median {statistics.median(walls):.3f} s, at most {max(walls):.3f} s, "
            f"CPU {statistics.median(used):.3f} s  {lines[0]}",
            flush=True,
        )


if __name__ == "__main__":
    main()
