"""Which fraction of its time a run of two ranks trains while one of them, drawn at random, is killed each
minute, and where the rest goes.

The same exact run is trained undisturbed first, in real processes: the killed one ends with its bits, or this
fails. CARS_BENCH_MINUTES says how long each takes (30).
"""

import json
import os
import random
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from scripts.benches.recovery import RECOVERED, TRAINS, Pod, pods, wait, write_config
from scripts.quickstart import write_digits
from trainer.distribution.rank_variables import STATUS_FD
from trainer.runs.layout import weights

MINUTES = "CARS_BENCH_MINUTES"
_KILL_SECONDS = 60.0
_PACE_SECONDS = 30.0
_SPARE = {"spares": 1}


def measure() -> dict[str, float]:
    """`goodput`: seconds of the undisturbed run over those of the other, each from its first step to its end.
    `kills`; then seconds, of all kills together: `lost`, and of them, as the survivors logged it, until the
    next step (`recovering`): `keep`, `join`, `init`, `broadcast`, `first_step`. The rest is notice, the start
    of new processes beside the training, and what one rank computed alone.
    """
    seconds = 60 * float(os.environ.get(MINUTES, "30"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        from trainer.preparation.prepare import prepare

        data = f"file://{folder}/data"
        prepare(str(write_digits(folder / "images") / "train"), data, validation=0.1)
        pace = _epochs_in(folder / "pace", data, _PACE_SECONDS) / _PACE_SECONDS
        epochs = max(1, round(pace * seconds))
        calm, _ = _train(folder / "calm", data, epochs, kills=False)
        killed, kills = _train(folder / "killed", data, epochs, kills=True)
        assert _digests(folder / "calm") == _digests(folder / "killed"), "not the undisturbed run's bits"
        parts = _parts((folder / "killed" / "log-0").read_text(errors="replace"))
    print(f"{epochs} epochs, {calm:.0f} s undisturbed, {killed:.0f} s with {kills} kills", flush=True)
    return {"goodput": calm / killed, "kills": kills, "lost": killed - calm, **parts}


def _epochs_in(folder: Path, data: str, seconds: float) -> int:
    """How many epochs a run makes in this time."""
    config = write_config(folder, data, _SPARE)
    with pods(config, [{}], ranks=2) as [pod]:
        wait(lambda: TRAINS in pod.log(), pod)
        before = _epochs(folder)
        time.sleep(seconds)
        return _epochs(folder) - before


def _epochs(folder: Path) -> int:
    path = folder / "run" / "metrics.csv"
    return len(path.read_text().splitlines()) - 1 if path.exists() else 0


def _train(folder: Path, data: str, epochs: int, *, kills: bool) -> tuple[float, int]:
    """Seconds from the first step to the end, and how many ranks were killed in them."""
    drawn, count = random.Random(0), 0
    with pods(write_config(folder, data, _SPARE, epochs), [{}], ranks=2) as [pod]:
        wait(lambda: TRAINS in pod.log(), pod)
        began = time.monotonic()
        due = began + _KILL_SECONDS
        while pod.process.poll() is None:
            if kills and time.monotonic() > due and (ranks := _training(pod)):
                os.kill(drawn.choice(ranks), signal.SIGKILL)
                count, due = count + 1, due + _KILL_SECONDS
            time.sleep(0.05)
        assert pod.process.returncode == 0, pod.log()
        return time.monotonic() - began, count


def _training(pod: Pod) -> list[int]:
    """The processes that have finished a step."""
    return sorted(pid for pid, environment in pod.children().items() if _step(pid, environment) >= 0)


def _step(pid: int, environment: Sequence[str]) -> int:
    """The last step of a rank, as it reports it to its supervisor; -1 before the first."""
    try:
        fd = next(one.partition("=")[2] for one in environment if one.startswith(f"{STATUS_FD}="))
        return int(json.loads(Path(f"/proc/{pid}/fd/{fd}").read_bytes())["step"])
    except (OSError, ValueError, KeyError, StopIteration):
        return -1


def _digests(folder: Path) -> list[str]:
    paths = [folder / "run" / weights(which) for which in ("best", "last")]
    return [sha256(path.read_bytes()).hexdigest() for path in paths]


def _parts(log: str) -> dict[str, float]:
    """Seconds of each part, over all recoveries that this log names."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for found in RECOVERED.finditer(log):
        seconds["recovering"] += float(found[2])
        for part in found[3].split(", "):
            name, value = part.rsplit(" ", 1)
            seconds[name.replace(" ", "_")] += float(value)
    return dict(seconds)
