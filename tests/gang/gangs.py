"""Pods as processes: start them, see what they do, end them. The command of their ranks is a parameter."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 60.0


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of `condition`."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"did not happen within {PATIENCE:.0f} s: {what}")


def alive(pid: int) -> bool:
    """Whether a process is there and not only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Pod:
    """A supervisor in a process group of its own."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit code; negative for a signal."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {PATIENCE:.0f} s:\n{self.output()}") from None

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Run:
    """The folder that ranks of tests.gang.rank work in, and the pods that run them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pods: list[Pod] = []

    def rank_command(self, steps: int, *words: str) -> list[str]:
        return [sys.executable, "-m", "tests.gang.rank", str(self.folder), str(steps), *words]

    def pod(
        self,
        rank_command: Sequence[str],
        *options: str,
        environment: Mapping[str, str] = {},
        inside: Sequence[str] = (),
    ) -> Pod:
        """Start a pod. `inside`: words that put a command into the pod's namespaces."""
        command = [*inside, sys.executable, "-m", "tests.gang.pod", *options, "--", *rank_command]
        pod = Pod(command, environment, self.folder / f"pod-{len(self.pods)}.log")
        self.pods.append(pod)
        return pod

    def events(self, what: str = "", **values: int) -> list[dict[str, Any]]:
        """What ranks told, in order; of one kind, and with these values."""
        path = self.folder / "events"
        # What follows the last line break is still being written.
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        events = [json.loads(line) for line in lines]
        return [
            event
            for event in events
            if (not what or event["what"] == what)
            and all(event[name] == value for name, value in values.items())
        ]

    def wait_for_step(self, step: int, **values: int) -> dict[str, Any]:
        """The first event of a rank that finished `step` or a later one."""
        return wait_for(  # type: ignore[no-any-return]
            lambda: next((event for event in self.events("step", **values) if event["step"] >= step), None),
            f"step {step} {values or ''}; the pods said:\n{self.output()}",
        )

    def pids(self) -> set[int]:
        """Of all ranks that ever started."""
        return {event["pid"] for event in self.events("start")}

    def living(self) -> set[int]:
        return {pid for pid in self.pids() if alive(pid)}

    def result(self) -> str:
        return (self.folder / "result").read_text()

    def output(self) -> str:
        return "\n".join(f"--- {pod.log.name}\n{pod.output()}" for pod in self.pods)

    def close(self) -> None:
        for pod in self.pods:
            pod.close()
