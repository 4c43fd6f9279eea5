"""How long a run of two ranks stands still when one of them is killed, and where the time goes.

The parts of the survivor are those of its log. Real processes of `trainer supervise` train on the digits of
the quick start; the times include a new process that imports TensorFlow, or a parked one (`spare_`).
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from scripts.processes import die_with_parent, free_port
from scripts.quickstart import write_digits
from trainer.distribution.rank_variables import PARKED, RANK

PATIENCE = 120.0
RECOVERED = re.compile(r"recovered as rank \d+ of (\d+) in ([\d.]+) s: (.*)")
_KEEPS = "keeps its state"
TRAINS = "first step finished"
_SETTLED_SECONDS = 5.0
_PARKED_SECONDS = 30.0
"""Seconds after which a parked process has loaded TensorFlow."""


def measure() -> dict[str, float]:
    """Seconds from SIGKILL, all on this machine's cores.

    `rank_`: of rank 1, of two in one pod. `notice`: until the other one's exchange had failed, `keep`: its
    state lay in memory, `join`: all ranks of the next generation had met, `init`: Horovod was started,
    `broadcast`: all had the state, `first_step`: that was done, `next_step`: all of it together, `whole`: two
    ranks had made a step, where the other one went on alone before. `spare_`: with a parked process.
    `supervisor_`: of the supervisor of one of two pods, which starts again at once.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        from trainer.preparation.prepare import prepare

        data = f"file://{folder}/data"
        prepare(str(write_digits(folder / "images") / "train"), data, validation=0.1)
        return {
            **_rank_killed(folder, data, "rank"),
            **_rank_killed(folder, data, "spare", spares=1),
            **_supervisor_killed(folder, data),
        }


def _rank_killed(folder: Path, data: str, name: str, **distribution: Any) -> dict[str, float]:
    config = write_config(folder / name, data, distribution)
    settled = _PARKED_SECONDS if distribution else _SETTLED_SECONDS
    with pods(config, [{}], ranks=2) as [pod]:
        return _recovery(pod, lambda: os.kill(pod.rank(1), signal.SIGKILL), name, settled)


def _supervisor_killed(folder: Path, data: str) -> dict[str, float]:
    config = write_config(folder / "supervisor", data, {})
    gang = {"TRAINER_PODS": "2", "TRAINER_COORDINATOR": f"127.0.0.1:{free_port()}"}
    places = [gang | {"TRAINER_POD_INDEX": str(index)} for index in range(2)]
    with pods(config, places, ranks=1) as both:

        def kill() -> None:
            both[1].process.kill()
            both[1].process.wait()
            both.append(Pod(config, 1, places[1]))

        return _recovery(both[0], kill, "supervisor")


def _recovery(
    chief: "Pod", kill: Callable[[], None], name: str, settled: float = _SETTLED_SECONDS
) -> dict[str, float]:
    wait(lambda: TRAINS in chief.log(), chief)
    time.sleep(settled)
    survivor = chief.rank(0)
    killed = time.monotonic()
    kill()
    wait(lambda: _KEEPS in chief.log(), chief)
    noticed = time.monotonic() - killed
    found = wait(lambda: RECOVERED.search(chief.log()), chief)
    next_step = time.monotonic() - killed
    wait(lambda: "recovered as rank 0 of 2" in chief.log(), chief)
    whole = time.monotonic() - killed
    assert Path(f"/proc/{survivor}").exists(), "the survivor's process has ended"
    parts = dict(part.rsplit(" ", 1) for part in found[3].split(", "))
    seconds = {
        "notice": noticed - float(parts["keep"]),
        **{key: float(value) for key, value in parts.items()},
    }
    return {
        f"{name}_{key.replace(' ', '_')}": value
        for key, value in (seconds | {"next_step": next_step, "whole": whole}).items()
    }


def write_config(folder: Path, data: str, distribution: Mapping[str, Any], epochs: int = 100_000) -> Path:
    """The YAML of an exact run of a small network in `folder`."""
    folder.mkdir()
    train = {"epochs": epochs, "batch_size": 60, "lanes": 12, "exact": True, "micro_batch": 3}
    values = {
        "data": {"url": data, "standardize": "x/255"},
        "model": {"name": "lab-cnn", "options": {"n_filters": 4}, "batch_norm": "grouped"},
        "train": train,
        "run": {"url": f"file://{folder}/run", "checkpoint": {"every": "1000000 steps"}},
        "metrics": {"port": None},
        "distribution": dict(distribution),
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@contextmanager
def pods(config: Path, environments: list[dict[str, str]], ranks: int) -> Iterator[list["Pod"]]:
    """Pods of one run, which end with the block."""
    started = [Pod(config, ranks, environment) for environment in environments]
    try:
        yield started
    finally:
        for pod in started:
            pod.process.kill()
            pod.process.wait()


def wait(condition: Callable[[], Any], pod: "Pod") -> Any:
    """The first true value."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.005)
    raise AssertionError(f"did not happen within {PATIENCE:.0f} s:\n{pod.log()}")


class Pod:
    """A supervisor, its log and its ranks."""

    def __init__(self, config: Path, ranks: int, environment: Mapping[str, str]) -> None:
        self._log = config.parent / f"log-{environment.get('TRAINER_POD_INDEX', '0')}"
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "trainer",
                    "supervise",
                    "--config",
                    str(config),
                    "--ranks",
                    str(ranks),
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
                env={**os.environ, "OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", **environment},
            )

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def children(self) -> dict[int, list[str]]:
        """The processes that it has started, and the environment that each began with."""
        found = {}
        for path in Path("/proc").glob("[1-9]*"):
            try:
                parent = (path / "stat").read_text().rpartition(")")[2].split()[1]
                if int(parent) == self.process.pid:
                    found[int(path.name)] = (path / "environ").read_bytes().decode().split("\0")
            except OSError:
                continue
        return found

    def rank(self, number: int) -> int:
        """The process id of a rank that was started as such."""
        for pid, environment in self.children().items():
            is_parked = any(variable.startswith(PARKED) for variable in environment)
            if f"{RANK}={number}" in environment and not is_parked:
                return pid
        raise LookupError(f"rank {number} is not there")
