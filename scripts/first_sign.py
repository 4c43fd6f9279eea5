"""Seconds until each command prints something on a terminal: `python -m scripts.first_sign [--rounds N]`.

The commands fail, since nothing is where they look; what counts is when they say that they look.
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


def seconds(command: str) -> tuple[float, str]:
    """Seconds from the start of the process to its first output, and the first line."""
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
    process.wait()
    os.close(terminal)
    return taken, first.decode(errors="replace").strip().partition("\r\n")[0]


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts.first_sign", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="starts of each command (default: 5)")
    rounds: int = parser.parse_args().rounds
    for command in ARGUMENTS:
        found = [seconds(command) for _ in range(rounds)]
        median, most = statistics.median(s for s, _ in found), max(s for s, _ in found)
        print(f"{command:10} median {median:.3f} s, at most {most:.3f} s  {found[0][1]}")


if __name__ == "__main__":
    main()
