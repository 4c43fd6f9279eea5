"""Runs `trainer prepare PHOTOS FOLDER/dataset`, then what that prints behind `next:`, and so on, unchanged.

See scripts/first_hour."""

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

MAX_COMMANDS = 10


@dataclass(frozen=True)
class Step:
    """A command that was run, its exit code, what it printed on both streams, and the seconds it took."""

    command: str
    code: int
    screen: str
    seconds: float

    @property
    def following(self) -> str | None:
        """The command that it printed behind `next:`."""
        found = re.findall(r"^next: (.+)$", self.screen, re.MULTILINE)
        return found[-1] if found else None


def follow(command: str) -> Iterator[Step]:
    """The command, and each that the one before prints; ends behind one that fails or prints none."""
    following: str | None = command
    for _ in range(MAX_COMMANDS):
        if following is None:
            return
        step = run(following)
        yield step
        following = step.following if step.code == 0 else None


def run(command: str) -> Step:
    """Runs a line as a shell does."""
    began = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return Step(command, done.returncode, done.stdout, time.monotonic() - began)


def main() -> None:
    """Prints each command and its screen, and last the time of each. Exits with the code of the last."""
    if len(sys.argv) != 3:
        sys.exit("usage: scripts/first_hour PHOTOS FOLDER")
    photos, folder = sys.argv[1:]
    steps = []
    for step in follow(f"trainer prepare {shlex.quote(photos)} {shlex.quote(f'{folder}/dataset')}"):
        steps.append(step)
        print(f"\n$ {step.command}\n{step.screen}", flush=True)
    print()
    for step in steps:
        print(f"{step.seconds:7.1f} s  {shlex.join(shlex.split(step.command)[:2])}")
    print(f"{sum(step.seconds for step in steps):7.1f} s")
    sys.exit(steps[-1].code)


if __name__ == "__main__":
    main()
