"""Hours of kills, stops, suspended ranks, outages and full disks: the undisturbed run's bits, and no leak.

TRAINER_SOAK_SECONDS is how long each of the two runs, one in S3 and one in a folder, is disturbed.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pytest

from scripts.processes import die_with_parent
from tests.run_processes import EXACT, Runs, committed_steps
from tests.storage import faulty
from tests.storage.faulty import FaultyProxy, faulty_proxy
from trainer.checkpoints.restore import restore
from trainer.config import load
from trainer.storage import open_store

SECONDS = float(os.environ.get("TRAINER_SOAK_SECONDS", "3600"))
MOST_DELAY = 0.3
EPOCHS = max(3, int(SECONDS * 0.25))
"""Of 20 steps, some 3 s each: about as many as there is time for, with a part of it lost to faults."""
PATIENCE = 300.0

SOAKED = {
    "train": EXACT["train"] | {"epochs": EPOCHS},
    "model": EXACT["model"],
    "run": {"checkpoint": {"every": "20 steps", "keep_last": 2}},
}

pytestmark = [pytest.mark.long, pytest.mark.timeout(4 * SECONDS + 3600)]


class Use(NamedTuple):
    """What a process holds: bytes of memory, threads, open files, and those of them that are sockets."""

    memory: float
    threads: float
    files: float
    sockets: float


MORE = Use(48 << 20, 2, 6, 6)
"""How much more of each a process may hold in the last third of its life than in the first."""


def use(pid: int) -> Use:
    """Raises OSError when the process has gone."""
    folder = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    links = []
    for file in (folder / "fd").iterdir():
        with suppress(OSError):
            links.append(os.readlink(file))
    sockets = sum(link.startswith("socket:") for link in links)
    return Use(int(status["VmRSS"].split()[0]) << 10, int(status["Threads"]), len(links), sockets)


class Soak:
    """One run under faults."""

    def __init__(self, runs: Runs, config: Path, seed: int) -> None:
        self.runs, self.config, self.folder = runs, config, config.parent
        self.random = random.Random(seed)
        self.store = open_store(load(config).run.url)
        self.lives: dict[int, list[Use]] = defaultdict(list)
        self.faults: Counter[str] = Counter()
        self._log = (self.folder / "log").open("ab")
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        words = ["2", str(self.config), "--delays", str(self.random.randrange(1000))]
        return subprocess.Popen(
            [sys.executable, "-m", "tests.training.start", *words],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "TF_NUM_INTRAOP_THREADS": "1",
                "MOST_DELAY": str(MOST_DELAY),
            },
        )

    def disturb(self, faults: dict[str, Callable[[], None]]) -> None:
        """Faults of all kinds in turn, each kind in random order, until the time is over or the run ends."""
        until = time.monotonic() + SECONDS
        queue: list[str] = []
        while time.monotonic() < until and self.rest(self.random.uniform(30, 90)):
            if not queue:
                queue = self.random.sample(sorted(faults), len(faults))
            name = queue.pop()
            before = self.done()
            print(f"{time.strftime('%X')} {name} after {before} steps", flush=True)
            faults[name]()
            self.faults[name] += 1
            self.goes_on(before)
            self.check_newest()

    def rest(self, seconds: float) -> bool:
        """Waits, and looks at the processes; False when the run has ended."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.process.poll() is not None:
                return False
            for pid in (self.process.pid, *self.ranks()):
                with suppress(OSError, KeyError):
                    self.lives[pid].append(use(pid))
            time.sleep(min(5.0, max(0.0, until - time.monotonic())))
        return True

    def done(self) -> int:
        path = self.folder / "digests-0"
        return len(path.read_text().split()) if path.exists() else 0

    def ranks(self) -> list[int]:
        """Their pids."""
        pids = []
        for rank in (0, 1):
            with suppress(OSError, ValueError):
                pids.append(int((self.folder / f"pid-{rank}").read_text()))
        return pids

    def goes_on(self, before: int) -> None:
        until = time.monotonic() + PATIENCE
        while self.done() < before + 5 and self.process.poll() is None:
            assert time.monotonic() < until, f"no step for {PATIENCE:.0f} s: {self.said()}"
            self.rest(1)
        assert self.process.poll() in (None, 0), self.said()

    def check_newest(self) -> None:
        """The newest committed state is whole and finite."""
        state = restore(self.store)
        if state:
            for name, array in state.arrays.items():
                assert np.isfinite(array).all(), name

    def said(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-5000:]

    def kill_a_rank(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.random.choice(self.ranks()), signal.SIGKILL)

    def suspend_a_rank(self) -> None:
        pid = self.random.choice(self.ranks())
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        self.rest(self.random.uniform(1, 40))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def kill_all(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = self._start()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        if code:
            assert code == 75, self.said()
            self.process = self._start()

    def check_leaks(self) -> dict[str, float]:
        """The most that a process grew, in each of `Use`; fails where that is too much."""
        most = dict.fromkeys(Use._fields, 0.0)
        for pid, seen in self.lives.items():
            settled = seen[6:]
            third = len(settled) // 3
            if third < 6:
                continue
            for name in Use._fields:
                first, last = (
                    median(getattr(u, name) for u in part) for part in (settled[:third], settled[-third:])
                )
                most[name] = max(most[name], last - first)
                assert last - first <= getattr(MORE, name), f"process {pid}: {name} from {first} to {last}"
        return most


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, digits: str) -> Path:
    runs = Runs(tmp_path_factory.mktemp("soak-undisturbed"), digits)
    return runs.finish(runs.config("undisturbed", **SOAKED), 2)


@pytest.fixture
def proxy(moto: str, s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    with faulty_proxy(moto) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


def test_in_s3_with_outages(runs: Runs, expected: Path, proxy: FaultyProxy, s3: str, say: Any) -> None:
    config = runs.config("soak", **with_folder(f"{s3}/run"))
    soak = Soak(runs, config, seed=1)

    def outage() -> None:
        proxy.outage = soak.random.choice([faulty.reset, faulty.stall, faulty.slow_down, faulty.bad_gateway])
        proxy.over.clear()
        soak.rest(soak.random.uniform(10, 90))
        proxy.outage = None
        proxy.over.set()  # who waits for an answer is hung up on

    survives(soak, {"outage": outage}, expected, say)


def test_in_a_folder_on_a_disk_that_gets_full(
    runs: Runs, expected: Path, small_disk: Callable[[str], Path], say: Any
) -> None:
    disk = small_disk("64m")
    config = runs.config("soak", **with_folder(f"file://{disk}/run"))
    soak = Soak(runs, config, seed=2)

    def full_disk() -> None:
        with ballast(disk):
            soak.rest(soak.random.uniform(10, 90))

    survives(soak, {"full disk": full_disk}, expected, say)


def with_folder(url: str) -> dict[str, Any]:
    return SOAKED | {"run": SOAKED["run"] | {"url": url}}


@contextmanager
def ballast(disk: Path) -> Iterator[None]:
    """Nothing more fits on the disk."""
    path = disk / "ballast"
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << (20 if shutil.disk_usage(disk).free > 1 << 21 else 10)))
    try:
        yield
    finally:
        path.unlink()


def survives(soak: Soak, own: dict[str, Callable[[], None]], expected: Path, say: Any) -> None:
    """Every fault in turn for the given time; then the run ends with the undisturbed run's bits."""
    kinds = {
        "kill a rank": soak.kill_a_rank,
        "kill all": soak.kill_all,
        "stop": soak.stop,
        "suspend a rank": soak.suspend_a_rank,
        **own,
    }
    try:
        soak.disturb(kinds)
        assert soak.process.wait(10 * SECONDS + 600) == 0, soak.said()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(soak.process.pid, signal.SIGKILL)
    assert soak.faults.keys() == kinds.keys()
    assert set(soak.runs.digests(soak.folder)) <= set(soak.runs.digests(expected)), (
        "a state that was never there"
    )
    for name in ("metrics.csv", "weights/last.weights.h5", "weights/best.weights.h5", "weights/model.keras"):
        assert soak.store.get(name) == (expected / "run" / name).read_bytes(), name
    assert len(committed_steps(soak.store)) <= 4
    assert b"Traceback" not in (soak.folder / "log").read_bytes()
    grown = soak.check_leaks()
    shown = ", ".join(f"{name} {value:+,.0f}" for name, value in grown.items())
    say(f"{dict(soak.faults)} in {soak.done():,} steps of {EPOCHS * 20:,}; at most {shown}")
